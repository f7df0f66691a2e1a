"""docs/reading.png: the page of the demo audit, its parts numbered as docs/reading.md names them.

    equiscope demo && python scripts/reading_picture.py equiscope-demo

Needs Chromium or Chrome.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURE = Path(__file__).parent.parent / "docs" / "reading.png"
PARTS = ("#findings", "#outputs", "[aria-label=layers]", "[aria-label=spectra]", "[aria-label=systems]")
WIDTH, COLOURS = 1000, 64

STYLE = """<style>
.part { position: relative; }
.part::after {
  content: attr(data-part); position: absolute; right: 20px; bottom: 20px; width: 60px; height: 60px;
  border-radius: 50%; background: #b02020; color: white; font: bold 28px/60px sans-serif; text-align: center;
}
</style>"""
SCRIPT = """<script>
PARTS.forEach((where, i) => {
  const part = document.querySelector(where).closest("figure, section");
  part.classList.add("part");
  part.dataset.part = i + 1;
});
const last = document.querySelector(PARTS[PARTS.length - 1]).closest("figure");
const below = (element) => element.compareDocumentPosition(last) & Node.DOCUMENT_POSITION_PRECEDING;
for (const other of document.querySelectorAll("main figure, main section, footer"))
  if (below(other)) other.remove();
document.title = Math.ceil(last.getBoundingClientRect().bottom + window.scrollY + 16);
</script>"""


def main(audit: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    page = (audit / "index.html").read_text(encoding="utf-8")
    # the page lets no script run but its own
    page = re.sub(r"<meta http-equiv=.Content-Security-Policy.*?>", "", page)
    page = page.replace("</body>", STYLE + SCRIPT.replace("PARTS", str(list(PARTS))) + "</body>")
    with tempfile.TemporaryDirectory() as folder:
        (place := Path(folder, "page.html")).write_text(page, encoding="utf-8")
        options = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        dumped = subprocess.run(
            [*options, f"--window-size={WIDTH},1000", "--dump-dom", place.as_uri()],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        height = int(dumped.split("<title>")[1].split("</title>")[0])
        shot = Path(folder, "shot.png")
        size = f"--window-size={WIDTH},{height}"
        subprocess.run([*options, size, f"--screenshot={shot}", place.as_uri()], check=True, stderr=subprocess.DEVNULL)
        Image.open(shot).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
