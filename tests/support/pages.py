"""HTML pages in a real browser: what axe-core finds on them, what they ask the network for."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(
    os.environ.get(
        "SAMERUN_AXE", Path(__file__).parents[2] / ".axe/node_modules/axe-core/axe.min.js"
    )
)
"""axe-core in one file, as `npm install --prefix .axe axe-core@4.14.1` puts it there."""

_RUN_AXE = """
axe.run(document, {resultTypes: ["violations"]}).then(found => {
  const seen = found.violations.map(one => [one.id, one.nodes.map(node => node.html)]);
  const text = unescape(encodeURIComponent(JSON.stringify(seen)));
  document.body.textContent = "AXE" + btoa(text) + "END";
});
"""


def browse(file, *options, width=1400, is_dark=False):
    """Opens a file in headless Chromium without a network; returns its DOM and requested addresses.

    Args:
        file: the page.
        options: of Chromium.
        width: of the window.
        is_dark: prefer the dark colors.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "net.json")
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
        command += ["--no-first-run", "--disable-background-networking", "--disable-sync"]
        command += ["--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"]
        command += [f"--user-data-dir={folder}/profile", f"--window-size={width},1000"]
        command += [f"--log-net-log={log}", "--virtual-time-budget=20000"]
        command += [f"--blink-settings=preferredColorScheme={0 if is_dark else 1}"]
        command += [*options, "--dump-dom", file.absolute().as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        text = log.read_text()
    # Chromium asks for updates of its own; the page's requests have the key of a file.
    asked = re.findall(r'"network_isolation_key":"file://[^"]*".*?"url":"(\w+://[^"]+)"', text)
    return done.stdout, {address for address in asked if not address.startswith("file://")}


def violations(page, folder, **options):
    """Returns what axe-core finds on a page: rule and elements. It runs in a copy without policy.

    Args:
        page: the HTML.
        folder: for that copy.
        options: of `browse`.
    """
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    assert len(policy.findall(page)) == 1
    return _violations(policy.sub("", page), folder / "with_axe.html", **options)


def violations_beside(file, **options):
    """Returns what axe-core finds on a page with files of its own. It runs in a copy beside it.

    Args:
        file: the page.
        options: of `browse`.
    """
    copy = file.with_name(f"axe_{os.getpid()}_{file.name}")
    return _violations(file.read_text(), copy, **options)


def _violations(page, copy, **options):
    run = f'addEventListener("load", () => setTimeout(() => {{{_RUN_AXE}}}, 2000));'
    script = f"<script>{AXE.read_text()}</script><script>{run}</script></body>"
    copy.write_text(page.replace("</body>", script))
    dom, _ = browse(copy, **options)
    found = re.search("AXE([A-Za-z0-9+/=]+)END", dom)
    assert found, f"axe-core gave no answer: {dom[-500:]}"
    return json.loads(base64.b64decode(found[1]))
