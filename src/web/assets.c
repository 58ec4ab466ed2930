#include <string.h>

#include "web/assets.h"

/* The bytes of a file below src/web/page/, between two labels: with this no tool is
   needed that makes a C source of them. */
#define FILE_BYTES(name, file) \
	__asm__(".pushsection .rodata\n" \
	    ".balign 16\n" \
	    "asset_" #name "_begin:\n" \
	    ".incbin \"src/web/page/" file "\"\n" \
	    "asset_" #name "_end:\n" \
	    ".byte 0\n" \
	    ".popsection\n"); \
	extern const char asset_##name##_begin[] \
	    __attribute__((visibility("hidden"))); \
	extern const char asset_##name##_end[] \
	    __attribute__((visibility("hidden")))

FILE_BYTES(page, "index.html");
FILE_BYTES(script, "app.js");
FILE_BYTES(style, "style.css");
FILE_BYTES(icon, "icon.svg");

const struct asset *
asset_find(const char *path)
{
	static struct asset assets[] = {
		{ "/", "text/html; charset=utf-8", asset_page_begin, 0 },
		{ "/app.js", "text/javascript; charset=utf-8",
		    asset_script_begin, 0 },
		{ "/style.css", "text/css; charset=utf-8",
		    asset_style_begin, 0 },
		{ "/icon.svg", "image/svg+xml", asset_icon_begin, 0 },
	};
	static const char *const ends[] = {
		asset_page_end, asset_script_end, asset_style_end,
		asset_icon_end,
	};

	for (size_t i = 0; i < sizeof(assets) / sizeof(assets[0]); i++) {
		if (strcmp(path, assets[i].path) != 0)
			continue;
		assets[i].len = (size_t)(ends[i] - assets[i].bytes);
		return &assets[i];
	}
	return NULL;
}
