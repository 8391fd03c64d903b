"""Dawid and Skene by crowd-kit: `crowdkit_dawid_skene.py VOTES.npz ITERATIONS POSTERIORS.npy`.

VOTES has the integer arrays item, source, label and truth-free sizes items, labels. The time is that of `fit_predict_proba`
from a data frame that is there already; columns are sorted by label, rows by item.
"""

import importlib.metadata
import json
import sys
import time

import numpy as np
import pandas as pd
from crowdkit.aggregation import DawidSkene

votes = np.load(sys.argv[1])
frame = pd.DataFrame({"task": votes["item"], "worker": votes["source"], "label": votes["label"]})
start = time.perf_counter()
found = DawidSkene(n_iter=int(sys.argv[2]), tol=-1.0).fit_predict_proba(frame)
took_s = time.perf_counter() - start
whole = found.reindex(index=range(int(votes["items"])), columns=range(int(votes["labels"])), fill_value=0.0)
np.save(sys.argv[3], whole.to_numpy())
print(json.dumps({"seconds": took_s, "version": importlib.metadata.version("crowd-kit")}))
