# What is handed out: static binaries, packages, an archive of the source. All of
# it is laid out and built in the build folders; two builds give the same bytes.

# The time of what is in archives: of the last commit, or as who builds says.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || \
	date -r CHANGELOG.md +%s)
export SOURCE_DATE_EPOCH

# ---- a static binary, with musl ----

# x86_64 or aarch64, on either.
ARCH	= $(shell uname -m)
STATIC	= build-static/$(ARCH)
STATIC_DEPS = build-static/deps/$(ARCH)
STATIC_CC = $(if $(filter $(shell uname -m),$(ARCH)),$(CC),$(ARCH)-linux-gnu-gcc)
# Where musl's libc.a and headers are, Linux' headers, and inih; by default where
# `make static-deps` puts Debian's, which is asked for nothing if MUSL_LIB is given.
MUSL_LIB = $(STATIC_DEPS)/usr/lib/$(ARCH)-linux-musl
MUSL_INCLUDE = $(STATIC_DEPS)/usr/include/$(ARCH)-linux-musl
LINUX_INCLUDE = $(STATIC_DEPS)/usr/include/$(ARCH)-linux-gnu \
	$(STATIC_DEPS)/usr/include
INIH_INCLUDE = $(STATIC_DEPS)/usr/include
INIH_LIB = $(STATIC_DEPS)/usr/lib/$(ARCH)-linux-gnu/libinih.a

gcc_file = $(shell $(STATIC_CC) -print-file-name=$(1))
STATIC_CFLAGS = -nostdinc -isystem $(MUSL_INCLUDE) \
	-isystem $(call gcc_file,include) $(LINUX_INCLUDE:%=-isystem %) \
	-isystem $(INIH_INCLUDE)
# Debian's inih was compiled for a libc where fopen64 is another function.
STATIC_LDFLAGS = -static-pie -nostdlib -nostartfiles \
	-Wl,-z,relro,-z,now,-z,noexecstack -Wl,--build-id=none \
	-Wl,--defsym=fopen64=fopen
STATIC_START = $(MUSL_LIB)/rcrt1.o $(MUSL_LIB)/crti.o $(call gcc_file,crtbeginS.o)
STATIC_END = -L$(MUSL_LIB) -Wl,--start-group -lc -lgcc -lgcc_eh -Wl,--end-group \
	$(call gcc_file,crtendS.o) $(MUSL_LIB)/crtn.o

.PHONY: static static-deps check-static check-arm

## static-deps: fetch musl and inih for it, of Debian, into build-static/
static-deps:
	sh conf/packaging/static-deps.sh $(STATIC_DEPS) $(ARCH)

## static: build-static/ARCH/clusterd that runs on any Linux; ARCH=aarch64
static: $(if $(filter command% environment%,$(origin MUSL_LIB)),,static-deps)
	$(MAKE) --no-print-directory B=$(STATIC) CC='$(STATIC_CC)' CFLAGS= \
	    OPT='-Os -ffunction-sections -fdata-sections' \
	    HARDEN='-fPIE -fstack-protector-strong $(STATIC_ARCH_CFLAGS)' \
	    LDHARDEN='$(STATIC_LDFLAGS) -Wl,--gc-sections -s $(STATIC_START)' \
	    INIH_CFLAGS='$(STATIC_CFLAGS)' INIH_LIBS='$(INIH_LIB)' \
	    LDLIBS='$(STATIC_END)' $(STATIC)/clusterd $(STATIC)/clusterctl

## check-static: the end-to-end tests with the static clusterd; E2E= for some
check-static: all $(WORKERS) static
	CLUSTERD=$(STATIC)/clusterd CLUSTERD_WEB=$(B)/clusterd-web \
	    $(E2E_PROGRAMS) $(call pytest)

# Debian's, of arm64: tests/packages/arm.sh says of which packages.
VMLINUZ	=
BUSYBOX	=
MODULES	=
## check-arm: the one for aarch64 in an emulated machine; VMLINUZ= BUSYBOX=
check-arm:
	$(MAKE) --no-print-directory static ARCH=aarch64
	tests/packages/arm.sh $(VMLINUZ) $(BUSYBOX) $(MODULES)

# ---- archives and packages ----

NAME	= clusterd-$(VERSION)
# The same bytes, whoever packs it, when and where.
PACK	= tar --sort=name --owner=0 --group=0 --numeric-owner --format=ustar \
	--mtime=@$(SOURCE_DATE_EPOCH) --mode=u=rwX,go=rX
PACKAGES = build/packages

.PHONY: dist static-dist deb rpm lay-out check-packages

# All that git knows, as it is here; outside of git, all that is here.
## lay-out: the tree of the source in build/packages/, as archives have it
lay-out:
	@rm -rf $(PACKAGES)/$(NAME)
	@mkdir -p $(PACKAGES)/$(NAME)
	@{ { test "$$(git rev-parse --show-toplevel 2>/dev/null)" = \
	    "$$(pwd -P)" && git ls-files -z; } || find . -name 'build*' -prune -o \
	    ! -type d -print0; } | \
	    tar --null --no-recursion -T - -cf - | tar -C $(PACKAGES)/$(NAME) -xf -

## dist: build/packages/clusterd-VERSION.tar.gz, the source
dist: lay-out
	$(PACK) -C $(PACKAGES) -cf - $(NAME) | gzip -9n >$(PACKAGES)/$(NAME).tar.gz
	@echo $(PACKAGES)/$(NAME).tar.gz

## static-dist: the static binaries with their manuals, as build/packages/*.tar.gz
static-dist: static
	@rm -rf $(STATIC)/$(NAME)
	@mkdir -p $(STATIC)/$(NAME)/licenses
	cp $(STATIC)/clusterd $(STATIC)/clusterctl README.md CHANGELOG.md LICENSE \
	    conf/app.ini $(MAN) $(STATIC)/$(NAME)
	cp $(STATIC_DEPS)/usr/share/doc/musl-dev/copyright \
	    $(STATIC)/$(NAME)/licenses/musl
	cp $(STATIC_DEPS)/usr/share/doc/libinih-dev/copyright \
	    $(STATIC)/$(NAME)/licenses/inih
	@mkdir -p $(PACKAGES)
	$(PACK) -C $(STATIC) -cf - $(NAME) | \
	    gzip -9n >$(PACKAGES)/$(NAME)-linux-$(ARCH).tar.gz
	@echo $(PACKAGES)/$(NAME)-linux-$(ARCH).tar.gz

## deb: a package for Debian, by debhelper: build/packages/*.deb
deb: lay-out
	cp -R conf/packaging/debian $(PACKAGES)/$(NAME)/debian
	cd $(PACKAGES)/$(NAME)/debian && date=$$(LC_ALL=C date -uRd \
	    @$(SOURCE_DATE_EPOCH)) && sed -e 's|@VERSION@|$(VERSION)|' \
	    -e "s|@DATE@|$$date|" changelog.in >changelog && rm changelog.in
	cd $(PACKAGES)/$(NAME) && dpkg-buildpackage -b -us -uc
	@ls $(PACKAGES)/*.deb

# --nodeps: what it needs is asked of rpm's database, which Debian's has none of.
## rpm: packages for Fedora and its like, by rpmbuild: build/packages/*.rpm
rpm: dist
	@rm -rf $(PACKAGES)/rpm
	rpmbuild -bb --define '_topdir $(CURDIR)/$(PACKAGES)/rpm' \
	    --define '_sourcedir $(CURDIR)/$(PACKAGES)' \
	    --define '_rpmdir $(CURDIR)/$(PACKAGES)' \
	    --define '_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' \
	    --define '_buildhost localhost' --define 'package_version $(VERSION)' \
	    --define 'use_source_date_epoch_as_buildtime 1' \
	    --define 'clamp_mtime_to_source_date_epoch 1' \
	    $$(test -e /etc/debian_version && echo --nodeps) \
	    conf/packaging/clusterd.spec
	@ls $(PACKAGES)/*.rpm

## check-packages: are they built twice alike, and do they install and serve?
check-packages:
	$(PYTHON) -m pytest -p no:cacheprovider -v tests/packages
