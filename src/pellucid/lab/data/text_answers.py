"""What a network that classifies texts must beat: counts of words and of pieces of words, without any order."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline

from pellucid.lab.data.classes import Answers

MOST = 50_000  # training texts, and kinds of n-grams, that are counted
LONGEST = 40_000_000  # characters of those texts
AT_ONCE = 1_000  # texts that are answered together


def bags(
    train: Sequence[str], labels: NDArray[np.int64], valid: Sequence[str], test: Sequence[str], classes: int
) -> list[Answers]:
    """Naive Bayes on words and pairs of words, and logistic regression on runs of 1 to 4 characters inside words.

    Every class is as likely beforehand, as for networks whose loss is weighted; where classes are about equal that
    changes little.

    Args:
        train, valid, test: what networks read of the texts.
        labels: (N,) classes of the training part; each class is there.
        classes: how many there are.
    """
    methods: list[tuple[str, str, Pipeline]] = [
        (
            "naive Bayes",
            "Naive Bayes on the counts of words and pairs of words.",
            make_pipeline(
                CountVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", max_features=MOST),
                MultinomialNB(fit_prior=False),
            ),
        ),
        (
            "logistic regression",
            "Logistic regression on the frequencies of runs of 1 to 4 characters inside words.",
            make_pipeline(
                TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, max_features=MOST),
                LogisticRegression(class_weight="balanced", C=4.0, max_iter=200),
            ),
        ),
    ]
    counted = train[:MOST]
    ends = np.cumsum([len(text) for text in counted])
    counted = counted[: max(1, int((ends <= LONGEST).sum()))]
    found = []
    for name, sentence, method in methods:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # nearly there is good enough to be beaten
            try:
                method.fit(counted, labels[: len(counted)])
            except ValueError:
                continue  # no text holds a word
        columns = method.classes_
        logits = []
        for part in (valid, test):
            scores = torch.full((len(part), classes), -np.inf, dtype=torch.float64)
            for start in range(0, len(part), AT_ONCE):
                some = slice(start, start + AT_ONCE)
                scores[some, columns] = torch.from_numpy(method.predict_log_proba(part[some]))
            logits.append(scores)
        found.append(Answers(name, sentence, *logits))
    return found
