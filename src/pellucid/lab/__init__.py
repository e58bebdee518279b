"""From a person's data to an answer: data, task, candidates, training, comparison, report."""
