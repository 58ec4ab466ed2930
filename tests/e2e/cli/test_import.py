"""clusterctl import: from the configuration of another supervisor to one that -t
takes, and that runs."""

import os
import shutil

import pytest

from harness import free_port


PM2 = """{
  // Which PM2 takes, too.
  "apps": [{
    "name": "Web", "script": "server.py", "instances": 2,
    "env": {"PORT": 0, "COLOUR": "light green"},
    "max_memory_restart": "300M",
  }]
}
"""


def good(box, file):
    done = box.run("-t", "-c", file)
    assert done.returncode == 0, done.stderr


def read(box, name):
    with open(box.path(name), encoding="utf-8") as f:
        return f.read()


def test_result_passes_the_check_and_is_not_written_over(box):
    box.write("process.json", PM2)
    done = box.ctl("import", "process.json", "-o", "app.ini")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ("clusterctl: 1 app, 8 keys; 1 could not be carried "
                           "over and is a comment with the reason\n")
    text = read(box, "app.ini")
    assert "\n[web]\n" in text
    assert "\ncommand = python3 server.py\n" in text
    assert "\nmax_memory = 300M\n" in text
    assert "\n# name = Web: " in text
    good(box, "app.ini")
    done = box.ctl("import", "process.json", "--output", "app.ini")
    assert done.returncode == 1
    assert "app.ini is there already, and is not overwritten" in done.stderr
    assert read(box, "app.ini") == text
    # The same to standard output; elsewhere, with paths that lead back.
    assert box.ctl("import", "process.json").stdout == text
    os.mkdir(box.path("etc"))
    done = box.ctl("import", "process.json", "-o", "etc/app.ini")
    assert done.returncode == 0, done.stderr
    assert f"\ndirectory = {box.dir}/.\n" in read(box, "etc/app.ini")


def test_says_how_much_was_carried_over(box):
    box.write("all.json", PM2.replace("Web", "web"))
    done = box.ctl("import", "all.json", "-o", "all.ini")
    assert done.stderr == "clusterctl: 1 app, 8 keys\n"
    assert done.returncode == 0
    box.write("some.json", PM2.replace('"name"', '"vizion": 1, "name"'))
    done = box.ctl("import", "some.json", "-o", "some.ini")
    assert done.stderr == ("clusterctl: 1 app, 8 keys; 2 could not be carried "
                           "over and are comments with the reason\n")
    assert done.returncode == 0


def test_supervisord_and_procfile(box):
    box.write("web.conf", "[program:web]\ncommand=sleep %(ENV_UNHEARD_OF)s\n"
              "environment=A=\"x y\",B=2 ; comment\n")
    done = box.ctl("import", "web.conf", "-o", "app.ini")
    assert done.returncode == 0, done.stderr
    assert box.run("-t", "-c", "app.ini").returncode == 78
    done = box.run("-t", "-c", "app.ini", env={"UNHEARD_OF": "9"})
    assert done.returncode == 0, done.stderr
    box.write(".env", "A=1\n")
    box.write("Procfile", "web: sleep 1000\nshell: cd / && exec sleep 1000\n")
    done = box.ctl("import", "Procfile", "-o", "proc.ini")
    assert done.returncode == 0, done.stderr
    good(box, "proc.ini")


def test_result_runs(box):
    box.write("Procfile", "web: exec sh -c 'echo port is $PORT; sleep 1000'\n")
    assert box.ctl("import", "Procfile", "-o", "app.ini").returncode == 0
    port = str(free_port())
    text = read(box, "app.ini")
    assert "\nport = 5000\n" in text
    box.write("app.ini", text.replace("5000", port))
    d = box.start()
    d.wait_log(f"port is {port}\n")
    d.stop()


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
@pytest.mark.parametrize("name, export", [
    ("ecosystem.config.js", "module.exports ="),
    ("ecosystem.config.cjs", "module.exports ="),
    ("ecosystem.config.mjs", "export default")])
def test_program_of_javascript(box, name, export):
    box.write(name, "console.log('noise');\n" + export +
              " { apps: [{ script: 'a.js', env: { A: 'x'.repeat(3) } }] };\n")
    done = box.ctl("import", name)
    assert done.returncode == 0, done.stderr
    assert "\ncommand = node a.js\n" in done.stdout
    assert "\n    A=xxx\n" in done.stdout
    assert "noise" not in done.stdout
    box.write(name, "throw new Error('that is the reason');\n")
    done = box.ctl("import", name)
    assert done.returncode == 1
    assert "that is the reason" in done.stderr
    assert done.stderr.endswith(f"clusterctl: {name}: node: it has failed\n")
    done = box.ctl("import", name, env={"PATH": box.dir})
    assert done.returncode == 1
    assert "there is no node in PATH" in done.stderr


@pytest.mark.parametrize("arguments, status, words", [
    ([], 64, "usage: import FILE [-o OUT]"),
    (["a", "b"], 64, "usage: import FILE [-o OUT]"),
    (["-c", "x.ini", "a.json"], 64, "import asks no clusterd"),
    (["gone.json"], 1, "cannot read gone.json: No such file"),
    (["bad.json"], 1, "bad.json: line 2: a comma or } is missing"),
    (["a.yml"], 1, "a.yml: YAML is not read here"),
    (["app.ini"], 1, "app.ini is no ecosystem file"),
    (["main.conf"], 1, "main.conf: there is no [program:NAME] but in the "
     "files of [include]: import each of them: conf.d/*.conf a.conf"),
    (["only.conf"], 1, "only.conf: there is no [program:NAME]\n"),
    (["none.json"], 1, "command: missing in section [x]")])
def test_what_is_wrong_is_told(box, arguments, status, words):
    box.write("bad.json", '{ "apps": []\n "x": 1 }')
    box.write("none.json", '{ "apps": { "name": "x" } }')
    box.touch("a.yml")
    box.write("app.ini", "[web]\ncommand = x\n")
    box.write("main.conf", "[supervisord]\n[include]\n"
              "files = conf.d/*.conf a.conf ; as Debian has it\n")
    box.write("only.conf", "[supervisord]\nnodaemon=true\n")
    done = box.ctl("import", *arguments)
    assert done.returncode == status
    assert words in done.stderr
    assert box.ctl("status", "-o", "x").returncode == 64
