"""The figures of the guide: a question for each, computed by the layers on small inputs.

A figure's controls and all of their settings stand in ``settings.json``, which the page asks for and a stored page is recorded
from; whoever asks a server may ask for other values too, such as numbers of their own.
"""

from pellucid.web.questions.guide.beside import Beside, Measured
from pellucid.web.questions.guide.chain import Chain, Size
from pellucid.web.questions.guide.contents import Contents, asked
from pellucid.web.questions.guide.gates import Keeping, Renewing
from pellucid.web.questions.guide.pooling import Pooling
from pellucid.web.questions.guide.sliding import Filtering, Padding, Stride
from pellucid.web.questions.guide.unrolled import Unrolled
from pellucid.web.questions.guide.vanishing import Vanishing
from pellucid.web.questions.guide.yours import Yours
from pellucid.web.questions.question import Question

FIGURES: dict[str, type[Question]] = {
    "guide": Contents,
    "guide-filter": Filtering,
    "guide-padding": Padding,
    "guide-stride": Stride,
    "guide-size": Size,
    "guide-chain": Chain,
    "guide-pooling": Pooling,
    "guide-rnn": Unrolled,
    "guide-gradient": Vanishing,
    "guide-lstm": Keeping,
    "guide-gru": Renewing,
    "guide-beside": Beside,
    "guide-measured": Measured,
    "guide-yours": Yours,
}

__all__ = ["FIGURES", "asked"]
