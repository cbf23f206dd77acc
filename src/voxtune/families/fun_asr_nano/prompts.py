"""The sentences that Fun-ASR-Nano was trained and is run with."""

from __future__ import annotations

from voxtune.data.sample import Sample

SYSTEM = "You are a helpful assistant."

LANGUAGES = {
    "zh": "中文", "en": "英文", "yue": "粤语", "ja": "日文", "ko": "韩文", "vi": "越南语", "id": "印尼语", "th": "泰语",
    "ms": "马来语", "fil": "菲律宾语", "ar": "阿拉伯语", "hi": "印地语", "bg": "保加利亚语", "hr": "克罗地亚语",
    "cs": "捷克语", "da": "丹麦语", "nl": "荷兰语", "et": "爱沙尼亚语", "fi": "芬兰语", "el": "希腊语", "hu": "匈牙利语",
    "ga": "爱尔兰语", "lv": "拉脱维亚语", "lt": "立陶宛语", "mt": "马耳他语", "pl": "波兰语", "pt": "葡萄牙语",
    "ro": "罗马尼亚语", "sk": "斯洛伐克语", "sl": "斯洛文尼亚语", "sv": "瑞典语",
}  # fmt: skip
"""Language codes and the names that the prompts use; any other name is used as it is written."""

HOTWORD_CONTEXT = (
    "请结合上下文信息，更加准确地完成语音转写任务。如果没有相关信息，我们会留空。\n\n\n"
    "**上下文信息：**\n\n\n热词列表：[{}]\n"
)

CHINESE_HEADER = "请结合下面提供的上下文信息，更加准确地完成语音转写任务。如果没有相关信息，我们会留空。\n"
ENGLISH_HEADER = (
    "Please combine the context information provided below to complete the speech transcription task more accurately. "
    "If there is no relevant information, we will leave it blank.\n"
)


def task_prompt(sample: Sample) -> str:
    """What is asked in front of a recording, as upstream's inference asks it."""
    language = f"成{LANGUAGES.get(sample.language, sample.language)}" if sample.language else ""
    plain = "" if sample.text_normalization else "，不进行文本规整"
    return f"语音转写{language}{plain}："


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
