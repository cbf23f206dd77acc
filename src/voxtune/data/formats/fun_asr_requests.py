"""How Fun-ASR data words the request in front of a recording (docs/finetune.md of FunAudioLLM/Fun-ASR)."""

from __future__ import annotations

from voxtune.data.sample import Sample

SYSTEM = "You are a helpful assistant."
PLAIN_REQUESTS = ("", "语音转写：", "Speech transcription:")

LANGUAGES = {
    "zh": "中文", "en": "英文", "yue": "粤语", "ja": "日文", "ko": "韩文", "vi": "越南语",
    "id": "印尼语", "th": "泰语", "ms": "马来语", "fil": "菲律宾语", "ar": "阿拉伯语", "hi": "印地语",
    "bg": "保加利亚语", "hr": "克罗地亚语", "cs": "捷克语", "da": "丹麦语", "nl": "荷兰语", "et": "爱沙尼亚语",
    "fi": "芬兰语", "el": "希腊语", "hu": "匈牙利语", "ga": "爱尔兰语", "lv": "拉脱维亚语", "lt": "立陶宛语",
    "mt": "马耳他语", "pl": "波兰语", "pt": "葡萄牙语", "ro": "罗马尼亚语", "sk": "斯洛伐克语", "sl": "斯洛文尼亚语",
    "sv": "瑞典语",
}  # fmt: skip
"""Language codes and the names that the requests use; any other name is used as it is written."""


def transcription_request(sample: Sample) -> str:
    """What asks for a transcript in the sample's language, with or without digits and punctuation."""
    language = f"成{LANGUAGES.get(sample.language, sample.language)}" if sample.language else ""
    plain = "" if sample.text_normalization else "，不进行文本规整"
    return f"语音转写{language}{plain}："


def is_plain_request(text: str) -> bool:
    """Whether a request asks for nothing but a transcript."""
    return text.strip() in PLAIN_REQUESTS
