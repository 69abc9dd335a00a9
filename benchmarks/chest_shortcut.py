"""A worked example of the audit: a classifier with a shortcut. `python benchmarks/chest_shortcut.py DATA OUT`.

DATA is the folder of data_manifests/chest_xray.csv: 224 radiographs, COVID-19 or another
pneumonia, collected from many publications. A plain logistic regression (no network) is
asked which is which, of patients it was not trained on (five folds): once from a
thumbnail of 24 x 24, once from nothing but the outer tenth of the picture, where hardly any lung
is. What the second one knows is no medicine. Both are audited by sex, age, view and
country; OUT holds the tables, the plan and the reports.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from diascope.evaluation.audit.audit import audit
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.audit.words import findings, headline, not_judged, overall
from diascope.evaluation.audit.write import write_audit

SIDE = 24
BORDER = 0.1
COMPONENTS = 20
PLAN = {
    "groups": ["sex", "age_years", "view", "country"],
    "bands": {"age_years": [40, 60]},
    "gate": {"max_gap": {"sensitivity": 0.15, "specificity": 0.15}},
    "title": "Bias audit of a plain classifier of chest radiographs",
}


def main() -> None:
    """Train, predict, audit and print."""
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    with (data / "chest_xray" / "cases.csv").open(encoding="utf-8") as stream:
        cases = pd.DataFrame(list(csv.DictReader(stream)))
    pictures = [_read(next((data / "chest_xray" / "images").glob(f"{case}.*"))) for case in cases["case"]]
    out.mkdir(parents=True, exist_ok=True)
    (out / "plan.yaml").write_text(yaml.safe_dump(PLAN), encoding="utf-8")
    for name, numbers in (
        ("thumbnail", np.stack([_thumbnail(one) for one in pictures])),
        ("border", np.stack([_border(one) for one in pictures])),
    ):
        table = _predicted(cases, numbers)
        table.to_csv(out / f"{name}.csv", index=False)
        result = audit(table, AuditSettings.model_validate(PLAN))
        write_audit(result, out / name)
        print(f"\n{name}: AUC {result.overall['auc']}\nverdict: {result.verdict}. {headline(result)}")
        print(
            "\n".join(
                (
                    *overall(result),
                    *findings(result),
                    *(f"{r.verdict}: {r.attribute}, {r.metric}: {r.reason}" for r in result.rulings),
                )
            )
        )
        print("\n".join(f"probe: {one.attribute} AUC {one.auc} p {one.p} {one.reason}" for one in result.probes))
        print("\n".join(not_judged(result)[:6]))


def _read(path: Path) -> NDArray[np.float64]:
    grey = np.asarray(Image.open(path).convert("L"), dtype=np.float64)
    return (grey - grey.mean()) / (grey.std() + 1e-6)


def _thumbnail(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    small = Image.fromarray(picture.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel()


def _border(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    # Means of eight pieces along each edge; nothing of the inner four fifths is looked at.
    rows, columns = (max(1, round(BORDER * n)) for n in picture.shape)
    edges = (picture[:rows], picture[-rows:], picture[:, :columns].T, picture[:, -columns:].T)
    means = [part.mean() for edge in edges for part in np.array_split(edge, 8, axis=1)]
    spread = [part.std() for edge in edges for part in np.array_split(edge, 8, axis=1)]
    return np.array(means + spread)


def _predicted(cases: pd.DataFrame, numbers: NDArray[np.float64]) -> pd.DataFrame:
    y = cases["finding"].str.contains("COVID").to_numpy().astype(int)
    score, features = np.zeros(len(y)), np.zeros((len(y), min(COMPONENTS, numbers.shape[1])))
    for train, test in GroupKFold(5).split(numbers, y, cases["patient"]):
        steps = make_pipeline(StandardScaler(), PCA(features.shape[1], random_state=0))
        seen = steps.fit_transform(numbers[train])
        model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000).fit(seen, y[train])
        features[test] = steps.transform(numbers[test])
        score[test] = model.predict_proba(features[test])[:, 1]
    country = cases["location"].str.split(",").str[-1].str.strip()
    common = country.isin(country.value_counts().index[:6]) & (country != "")
    facts = {"sex": cases["sex"], "age_years": cases["age_years"], "view": cases["view"]}
    table = pd.DataFrame({"case_id": cases["case"], "patient": cases["patient"], "y": y, "score": score, **facts})
    table["country"] = country.where(common | (country == ""), "another country")
    # Components of different folds are not the same directions: the probe needs one set of features.
    probed = make_pipeline(StandardScaler(), PCA(features.shape[1], random_state=0)).fit_transform(numbers)
    return table.join(pd.DataFrame(probed, columns=[f"feature_{at}" for at in range(probed.shape[1])]))


if __name__ == "__main__":
    main()
