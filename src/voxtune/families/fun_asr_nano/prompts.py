"""What Fun-ASR-Nano is told besides the request: hot words and earlier results."""

from __future__ import annotations

from voxtune.data.sample import Sample

HOTWORD_CONTEXT = (
    "请结合上下文信息，更加准确地完成语音转写任务。如果没有相关信息，我们会留空。\n\n\n"
    "**上下文信息：**\n\n\n热词列表：[{}]\n"
)

CHINESE_HEADER = "请结合下面提供的上下文信息，更加准确地完成语音转写任务。如果没有相关信息，我们会留空。\n"
ENGLISH_HEADER = (
    "Please combine the context information provided below to complete the speech transcription task more accurately. "
    "If there is no relevant information, we will leave it blank.\n"
)


def hotword_context(sample: Sample) -> str:
    """What upstream's inference puts before the request when there are hot words."""
    return HOTWORD_CONTEXT.format(", ".join(sample.hotwords)) if sample.hotwords else ""


def context_header(sample: Sample, request: str) -> str:
    """What upstream's training puts before the first request (`MultiContextPrompt`); `request` decides its language."""
    chinese = _is_chinese(request)
    lines = []
    if sample.first_pass:
        lines.append(f"一遍解码结果：{sample.first_pass}\n" if chinese else f"One-pass result: {sample.first_pass}\n")
    if sample.hotwords:
        words = ", ".join(sample.hotwords)
        lines.append(f"热词列表：{words}\n" if chinese else f"Hotword list: {words}\n")
    return (CHINESE_HEADER if chinese else ENGLISH_HEADER) + ("".join(lines) or "\n\n\n")


def _is_chinese(text: str) -> bool:
    chinese = sum("\u4e00" <= c <= "\u9fff" for c in text)
    latin = sum(c.isascii() and c.isalpha() for c in text)
    return not text or (chinese > latin and chinese > 0.3 * len(text))
