# `make demo` and `make test` work on a fresh machine: each makes .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint demo-assets clean

demo: $(VENV)/installed
	$(BIN)/voxtune demo

test: $(VENV)/installed-for-development
	$(BIN)/pytest -n 2 tests

lint: $(VENV)/installed-for-development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The speech that ships, the tokenizers and the built-in models, from nothing but espeak-ng: about two hours.
demo-assets: $(VENV)/installed
	$(BIN)/python demo/fun_asr_nano/make_speech.py
	$(BIN)/python demo/fun_asr_nano/make_tokenizer.py
	$(BIN)/python demo/fun_asr_nano/make_base.py

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/installed-for-development: $(VENV)/installed
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev,japanese,serve]"
	touch $@

clean:
	rm -rf $(VENV) build dist
