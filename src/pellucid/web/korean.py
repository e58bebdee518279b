"""What Python says of data, items and networks, in Korean too: the page shows it in the language that is chosen there.

Runs keep these texts as they were written, in English, so each is known by its form. Whatever has another form (a name of a
person's own, above all) is the same in both languages. Errors are not translated.
"""

from __future__ import annotations

import re

Said = str | dict[str, str]  # JSON: a text, or one by language where they differ

_BLOCK = "3x3 convolution, ReLU and 2x2 max pooling"
_CYCLES = {"hour": "시각", "weekday": "요일", "month": "월"}
_FORMS = [
    # What the data is.
    (r"([\d,]+) grey images (\d+) x (\d+) of (\d+) classes", "{1} × {2} 회색조 이미지 {0}장, 클래스 {3}개"),
    (r"([\d,]+) colour images (\d+) x (\d+) of (\d+) classes", "{1} × {2} 컬러 이미지 {0}장, 클래스 {3}개"),
    (r"([\d,]+) recordings of (\d+) classes", "녹음 {0}개, 클래스 {1}개"),
    (r"([\d,]+) texts of (\d+) classes", "글 {0}개, 클래스 {1}개"),
    (r"([\d,]+) texts of (\d+) classes \(column (.+)\)", "글 {0}개, 클래스 {1}개(열 {2})"),
    (r"(.+), as ([\d,]+) subwords", "{0}, 서브워드 {1}개로"),
    (r"([\d,]+) characters of ([\d,]+) kinds", "문자 {0}개, {1}가지"),
    (r"([\d,]+) steps of (.+), (\d+) ahead from (\d+)", "{1} {0}단계, 지난 {3}단계로 {2}단계 앞까지"),
    (r"(.+) in ([\d,]+) series", "{0}의 시계열 {1}개"),
    (r"([\d,]+) sequences of (.+) steps, (.+): say the next step's", "{1}단계 시퀀스 {0}개, {2}: 다음 단계 맞히기"),
    (r"([\d,]+) sequences of (.+) steps, (\d+) channels?, (.+)", "{1}단계 시퀀스 {0}개, 채널 {2}개, {3}"),
    (r"([\d,]+) to ([\d,]+)", "{0}–{1}"),
    (r"(.+), (\S+) at a time", "{0}, 한 번에 {1}개"),
    (r"(\d+) classes", "클래스 {0}개"),
    (r"(\d+) labels", "레이블 {0}개"),
    (r"(\d+) events", "사건 {0}가지"),
    (r"each with a number from (\S+) to (\S+)", "{0}에서 {1} 사이의 수를 맞히기"),
    # What a network is made of.
    (r"(.+); then a linear layer", "{0}, 그다음 선형층"),
    (r"(.+); then maximum and last step", "{0}, 그다음 최댓값과 마지막 단계"),
    (r"(.+), and on top (.+)", "{0}, 그 위에 {1}"),
    (r"(.+), and over the rows of its map (.+)", "{0}, 그 맵의 행을 따라 {1}"),
    (r"(.+), the last hidden state", "{0}, 마지막 은닉 상태"),
    (r"(.+) in each direction", "방향마다 {0}"),
    (r"one recurrent layer of (\d+) units?", "유닛 {0}개의 순환층 하나"),
    (r"(\d+) recurrent layers of (\d+) units?", "유닛 {1}개의 순환층 {0}개"),
    (rf"a block of {_BLOCK} with (\d+) filters?", "필터 {0}개의 3×3 합성곱, ReLU, 2×2 최대 풀링 블록 하나"),
    (rf"(\d+) blocks? of {_BLOCK}, (.+) filters; mean", "3×3 합성곱, ReLU, 2×2 최대 풀링 블록 {0}개, 필터 {1}개, 평균"),
    (
        rf"(\d+) blocks? of {_BLOCK.replace(',', ' over bands and frames,', 1)}, (.+) filters; mean over the frames",
        "대역과 프레임에 대한 3×3 합성곱, ReLU, 2×2 최대 풀링 블록 {0}개, 필터 {1}개, 프레임 평균",
    ),
    (r"([\d, ]+) and (\d+)", "{0}, {1}"),
    (
        r"(\d+) causal convolutions? of 5 with (\d+) filters?, dilation 1 to (\d+), ReLU: each output sees (\d+) steps",
        "크기 5, 필터 {1}개의 인과 합성곱 {0}개, 팽창 1–{2}, ReLU: 출력마다 {3}단계를 봄",
    ),
    # The columns that are made, or have no name of their own.
    (r"mel band (\d+)", "멜 대역 {0}"),
    (r"channel (\d+)", "채널 {0}"),
    (r"dimension (\d+)", "차원 {0}"),
    *((rf"{en}, sine", f"{ko}, 사인") for en, ko in _CYCLES.items()),
    *((rf"{en}, cosine", f"{ko}, 코사인") for en, ko in _CYCLES.items()),
    (r"(.+), (\d+) later", "{0}, {1}단계 뒤"),
    # What items are called that have no name of their own.
    (r"(.+), changed", "{0}, 바꿈"),
    (r"((?:test item|item|row|character|word|subword) \d+|.+ row \d+): (.+)", "{0}: {1}"),
    (r"(.+), from step (\d+)", "{0}, {1}단계부터"),
    (r"test item (\d+)", "시험 항목 {0}"),
    (r"item (\d+)", "항목 {0}"),
    (r"row (\d+)", "{0}행"),
    (r"(.+) row (\d+)", "{0} {1}행"),
    (r"sequence (\d+)", "시퀀스 {0}"),
    (r"(.+) case (\d+)", "{0} 사례 {1}"),
    (r"character (\d+)", "문자 {0}부터"),
    (r"word (\d+)", "단어 {0}부터"),
    (r"subword (\d+)", "서브워드 {0}부터"),
]
_KNOWN = [(re.compile(pattern, re.DOTALL), form) for pattern, form in _FORMS]


def said(text: str) -> Said:
    """A text by language, ``{"en": ..., "ko": ...}``; the text alone where it is the same in both."""
    korean = _korean(text)
    return text if korean == text else {"en": text, "ko": korean}


def _korean(text: str) -> str:
    for pattern, form in _KNOWN:
        if found := pattern.fullmatch(text):
            return form.format(*map(_korean, found.groups()))  # what stands in it may have a form, too
    return text
