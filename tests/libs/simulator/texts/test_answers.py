import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.simulator.errors import ConfigurationError
from libs.simulator.texts import cmdline
from libs.simulator.texts.answers import Callback, kickstart, preseed

URL = "http://10.77.0.1:8081/i/t0ken/ks.cfg"
BASE = "http://10.77.0.1:8081/i/t0ken"
KICKSTART = f"""\
# http://10.77.0.1:8081/i/t0ken/done in a comment calls nobody
url --url=http://10.77.0.1:8081/images/rocky-9/
reboot
%packages
@core
%end
%pre --erroronfail
call() {{ curl -s --data-raw "$2" "$1"; }}
# call {BASE}/done
if true; then call '{BASE}/started'; fi
echo {BASE}/progress
call 'http://10.99.0.1/i/t0ken/started'
%end
%post
call "{BASE}/progress?phase=post" 'the packages are "there"'
%end
%onerror
call {BASE}/failed "it failed"
%end
%post --nochroot
wget -q -O /dev/null {BASE}/done || true
%end
"""


def test_a_kickstart() -> None:
    answers = kickstart(KICKSTART, URL)
    assert answers.before == (Callback("started", f"{BASE}/started"),)
    assert answers.after == (
        Callback("progress", f"{BASE}/progress?phase=post", 'the packages are "there"'),
        Callback("done", f"{BASE}/done"),
    )
    assert answers.on_error == (Callback("failed", f"{BASE}/failed", "it failed"),)
    assert (answers.tree, answers.reboots) == ("http://10.77.0.1:8081/images/rocky-9/", True)


def test_a_preseed() -> None:
    text = f"""\
# d-i preseed/late_command string wget {BASE}/done
d-i mirror/http/hostname string 10.77.0.1:8081
d-i mirror/http/directory string /images/debian-12
d-i finish-install/reboot_in_progress note
d-i preseed/early_command string f() {{ wget "$1"; }}; x=${{y##*/}}; f {BASE}/started; \\
  ( while sleep 5; do if grep -q x y; then f {BASE}/failed "$(tail z)"; break; fi; done ) &
d-i preseed/late_command string f {BASE}/done || true
"""
    answers = preseed(text, URL)
    assert [call.name for call in answers.before] == ["started"]
    assert [call.name for call in answers.after] == ["done"]
    assert [call.name for call in answers.on_error] == ["failed"]
    assert (answers.tree, answers.reboots) == ("http://10.77.0.1:8081/images/debian-12/", True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("%pre\necho\n", "has no %end"),
        ("%end\n", "line 1: %end without a section"),
        ("\n%prepare\n%end\n", "line 2: unknown section %prepare"),
    ],
)
def test_a_wrong_kickstart_says_where(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        kickstart(text, URL)


def test_a_wrong_preseed_says_where() -> None:
    with pytest.raises(ConfigurationError, match="line 2: 'd-i nonsense'"):
        preseed("d-i a/b string c\nd-i nonsense\n", URL)


def test_a_kickstart_without_reboot_and_callbacks() -> None:
    answers = kickstart("poweroff\n%pre\necho 'not closed\n%end\n", URL)
    assert (answers.before, answers.after, answers.on_error, answers.reboots) == ((), (), (), False)


def test_a_command_line() -> None:
    line = cmdline.parse('BOOT_IMAGE=/k inst.ks=http://a/ks quiet x="a b" inst.ks=http://b/ks "y=c d" ip=dhcp')
    assert line.get("inst.ks", "ks") == "http://b/ks"
    assert (line.get("x"), line.get("y"), line.get("quiet"), line.get("none")) == ("a b", "c d", "", None)


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(st.sampled_from(["%pre", "%end", "\n", f"{BASE}/x", "'", '"', "d-i ", "\\\n"])).map(" ".join),
    )
)
def test_garbage_raises_its_own_error_or_none(text: str) -> None:
    cmdline.parse(text)
    for read in (kickstart, preseed):
        with contextlib.suppress(ConfigurationError):
            read(text, URL)
