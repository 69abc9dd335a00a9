"""How fast the viewer is: start, a worklist of 100,000 cases, a case of 256³, a correction, twenty readers at once.

The page is timed in Debian's Chromium where there is one; there WebGL is computed on the processor.

python benchmarks/viewer.py [CASES]
"""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from diascope.findings import CaseReport, ImageFacts, ImageRecord, Label, Segmentation
from diascope.geometry import Grid
from diascope.io.outfolder import OutFolder
from diascope.io.write_nifti import write_mask, write_volume
from diascope.viewer.index import CaseIndex
from diascope.viewer.outs import open_outs
from diascope.viewer.server import started
from diascope.viewer.settings import ViewSettings
from diascope.viewer.worklist import NextRequest, WorklistRequest, neighbour, worklist_page
from diascope.volume import Mask, Volume
from tests.viewer.browser import Browser
from tests.viewer.chromium import chromium, new_page

SIDE = 256
READERS = 20
VERDICTS_EACH = 25


def main() -> None:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure_start(write_big_case(folder / "big"))
        measure_big_case(folder / "big", folder / "state")
        measure_page(folder / "big", folder / "state")
        measure_readers(folder / "big", folder / "state")
        measure_worklist(folder / "many", cases)


def timed(what: str, ask: Callable[[], object], times: int = 9) -> None:
    seconds = []
    spent = time.process_time() + children_seconds()
    for _ in range(times):
        began = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - began)
    spent = (time.process_time() + children_seconds() - spent) / times
    # On a machine that does other things too, the processor's time says more than the clock.
    spelled = "   ".join(
        f"{name} {value * 1000:7.1f} ms"
        for name, value in (
            ("best", min(seconds)),
            ("median", float(np.median(seconds))),
            ("worst", max(seconds)),
            ("processor", spent),
        )
    )
    print(f"{what:<54} {spelled}", flush=True)


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_start(out: Path) -> None:
    code = (
        "import sys, time; began = time.perf_counter(); from pathlib import Path;"
        "from diascope.viewer.server import started; from diascope.viewer.settings import ViewSettings\n"
        "with started([Path(sys.argv[1])], ViewSettings(port=0, mirror=False)): print(time.perf_counter() - began)"
    )

    def start() -> None:
        subprocess.run([sys.executable, "-c", code, str(out)], check=True, capture_output=True)

    timed("start of the server, with Python itself", start, 5)


def write_big_case(out: Path) -> Path:
    rng = np.random.default_rng(0)
    affine = np.diag([-0.9, -0.9, 1.1, 1.0])
    grid = Grid((SIDE, SIDE, SIDE), affine)
    smooth = np.add.outer(np.add.outer(np.arange(SIDE), np.arange(SIDE)), np.arange(SIDE)).astype(np.int16)
    noisy = smooth + rng.integers(-40, 40, smooth.shape, dtype=np.int16)
    volume = Volume(noisy, grid, ImageFacts(modality="CT"), "img-000000000000001", (300.0, 800.0))
    values = (noisy > 400).astype(np.uint8)
    case = out / "cases" / "case-000000000000001"
    (case / "images").mkdir(parents=True)
    write_volume(case / "images" / f"{volume.image_id}.nii.gz", volume)
    write_mask(case / "net.seg.nii.gz", Mask(values, grid, {1: "organ"}))
    image = ImageRecord(
        volume.image_id,
        volume.facts,
        space="grid",
        shape=grid.shape,
        spacing_mm=grid.spacing_mm,
        axcodes=grid.axcodes,
        is_sheared=False,
        stored=f"images/{volume.image_id}.nii.gz",
        display_window=volume.display_window,
    )
    drawn = Segmentation("net", volume.image_id, "net.seg.nii.gz", (Label(1, "organ", "#ff8800"),))
    report = CaseReport("case-000000000000001", "done", images=(image,), segmentations=(drawn,))
    (case / "case.json").write_text(report.to_json())
    for at in range(2, 2 + VERDICTS_EACH):
        other = out / "cases" / f"case-{at:015d}"
        other.mkdir()
        (other / "case.json").write_text(CaseReport(other.name, "done").to_json())
    return out


@contextlib.contextmanager
def served(out: Path, state: Path) -> Iterator[str]:
    with started([out], ViewSettings(port=0, mirror=False, state_dir=state)) as server:
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        yield server.url
        server.server.should_exit = True
        thread.join()


def measure_big_case(out: Path, state: Path) -> None:
    with served(out, state) as url:
        browser = Browser(url).enter("Reader")
        address = "/api/case/big/case-000000000000001"
        case = browser.get(address).json
        image, seg = case["images"][0], case["segmentations"][0]
        print(f"case of {SIDE}³: image {image['bytes'] / 1e6:.1f} MB")

        def everything() -> None:
            browser.get(address)
            browser.get(image["url"][1:])
            browser.get(seg["url"][1:])

        timed("all data of the case over loopback", everything)
        timed("preview, first time and after", lambda: browser.get(image["preview_url"][1:]))
        browser.get(f"{address}/slice/{image['image_id']}/axial/0.png")
        for plane in ("axial", "coronal", "sagittal"):
            at = iter(range(SIDE // 4, SIDE))
            timed(
                f"next {plane} slice with overlay, drawn by the server",
                lambda plane=plane, at=at: browser.get(
                    f"{address}/slice/{image['image_id']}/{plane}/{next(at)}.png?seg=net"
                ),
            )
        measure_correction(browser, address)


def measure_correction(browser: Browser, address: str) -> None:
    name = {"name": "seg-0-1"}
    timed("a draft of 256³ is begun", lambda: browser.post(f"{address}/draft", name), 1)
    body = {"op": "paint", "label": 1, "shape": "ball", "radius_mm": 10.0, **name}

    def paint() -> None:
        points = [[100.0 + at, 120.0, 90.0] for at in range(30)]
        browser.post(f"{address}/stroke", {**body, "key": uuid.uuid4().hex, "points_ijk": points})

    timed("a stroke of 30 points, 10 mm, on the disk", paint)
    timed("a step back", lambda: browser.post(f"{address}/draft/undo", name))
    timed("the correction is saved as a version", lambda: browser.post(f"{address}/draft/save", name), 1)


SHOWN = """async (isAhead) => {
    const app = globalThis.diascope, view = app.caseView, before = view.caseData.case_id;
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    while (app.readAhead.after !== before) await frame();
    if (!isAhead) {
        for (const [key] of app.cases) if (!key.endsWith(before)) app.cases.delete(key);
        view.picture.slices.kept.clear();
        app.volumes.kept.clear();
        view.overlays.maps.clear();
    }
    const began = performance.now();
    view.actions.next();
    const isThere = () => {
        const { stage } = view.picture;
        if (view.caseData.case_id === before || view.picture.isPreview || !view.picture.tiles().length) return false;
        if (stage.kind === "slices" && stage.tiles().some((tile) => !stage.latest[tile.plane])) return false;
        return view.overlays.labelUrls(view.caseData, view.imageId).every((url) => view.overlays.maps.has(url));
    };
    while (!isThere()) await frame();
    await frame();
    const next = performance.now() - began;
    const { stage } = view.picture;
    const slices = [];
    for (let step = 0; step < 20; step += 1) {
        const from = performance.now();
        view.actions.sliceUp();
        const isDrawn = ({ plane, normal }) => [...stage.pictures].some(([key, picture]) =>
            picture && key.includes(`"${plane}","index":${view.picture.view.cursor[normal]},`));
        const late = () => stage.kind === "slices" && !stage.tiles().every(isDrawn);
        while (late()) await frame();
        await frame();
        slices.push(performance.now() - from);
    }
    return [next, slices];
}"""


def measure_page(out: Path, state: Path) -> None:
    """Time the page: the next case, read ahead, and the next slice."""
    if shutil.which("chromium") is None:
        print("no chromium: the page is not timed")
        return
    first = out / "cases" / "case-000000000000001"
    twin = out / "cases" / "case-000000000000099"
    shutil.copytree(first, twin)
    (twin / "case.json").write_text((first / "case.json").read_text().replace(first.name, twin.name))
    with chromium() as browser:
        for renderer in ("slices", "webgl"):
            with served(out, state) as url:
                review = new_page(browser, url, (1280, 800))
                review.enter(url, f"Reader of {renderer}")
                times: dict[bool, list[float]] = {True: [], False: []}
                slices: list[float] = []
                for case, is_ahead in ((first.name, True), (twin.name, False)) * 3:
                    review.go(f"/case/big/{case}", renderer)
                    review.wait_for_picture(case)
                    review.evaluate("(app.listQuery = {list: 'all', modality: 'CT', sort: 'case_id'}, 0)")
                    shown, steps = review.page.evaluate(SHOWN, is_ahead)
                    times[is_ahead].append(shown)
                    slices += steps
                review.page.context.close()
            print(
                f"page, {renderer}: next case {np.median(times[True]):.0f} ms, not read ahead"
                f" {np.median(times[False]):.0f} ms; next slice median {np.median(slices):.0f} ms,"
                f" worst {max(slices):.0f} ms (medians, load {os.getloadavg()[0]:.1f})",
                flush=True,
            )
    shutil.rmtree(twin)


def measure_readers(out: Path, state: Path) -> None:
    with served(out, state) as url:
        browsers = [Browser(url).enter(f"Reader {number}") for number in range(READERS)]
        digests = {
            at: browsers[0].get(f"/api/case/big/case-{at:015d}").json["result_digest"]
            for at in range(2, 2 + VERDICTS_EACH)
        }
        seconds: list[float] = []

        def read(browser: Browser) -> int:
            saved = 0
            for at, digest in digests.items():
                said = {"verdict": "accept", "digest": digest, "key": uuid.uuid4().hex}
                began = time.perf_counter()
                saved += browser.post(f"/api/case/big/case-{at:015d}/verdict", said).status == 200
                seconds.append(time.perf_counter() - began)
            return saved

        began = time.perf_counter()
        with ThreadPoolExecutor(READERS) as pool:
            saved = sum(pool.map(read, browsers))
        took = time.perf_counter() - began
        kept = len(browsers[0].get("/api/export/verdicts.json?out=big").json)
        print(
            f"{READERS} readers at once: {saved} answered, {kept} in the record, {saved / took:.0f} per second,"
            f" median {np.median(seconds) * 1000:.0f} ms, worst {max(seconds) * 1000:.0f} ms"
        )


def measure_worklist(out: Path, cases: int) -> None:
    rng = np.random.default_rng(1)
    OutFolder(out).cases.mkdir(parents=True)
    lines = ["case_id,status,seconds,confidence,confidence_kind,review_first,code,images,findings,reason"]
    for at in range(cases):
        score = rng.random()
        lines.append(f"case-{at:015x},done,1.0,{score:.4f},raw,{json.dumps(bool(score < 0.15))},,1,{at % 7},")
    (out / "cases.csv").write_text("\n".join(lines) + "\n")
    print(f"worklist of {cases} cases")
    timed("  read from cases.csv", lambda: CaseIndex.opened(open_outs([out]), 0.1, 0), 1)
    index = CaseIndex.opened(open_outs([out]), 0.1, 0)
    verdicts = (("many", f"case-{at:015x}", "Reader", "accept", "a" * 64) for at in range(0, cases, 3))
    index.replace_states("many", verdicts)
    asked = {
        "first page": WorklistRequest(),
        "page 900": WorklistRequest(page=900),
        "sorted by confidence": WorklistRequest(sort="confidence", order="desc"),
        "search in the ids": WorklistRequest(q="00ff"),
        "reviewed ones, by findings": WorklistRequest(list="reviewed", sort="findings", order="desc"),
        "filter by verdict and status": WorklistRequest(list="all", verdict="accept", status="done"),
    }
    for what, request in asked.items():
        timed(f"  {what}", lambda request=request: worklist_page(index, request, "Reader", blinded=False))
    after = NextRequest(open=True, after=f"case-{cases // 2:015x}")
    timed("  next open case", lambda: neighbour(index, after, "Reader"))


if __name__ == "__main__":
    main()
