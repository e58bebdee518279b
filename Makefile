# Two commands: `make demo` shows the main job on real data, `make test` passes the tests. Both need a C++ compiler.
# Both set up a virtual environment of their own; PYTHON chooses the interpreter, 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check page check-page guide bench-recurrent bench-convolution bench-gpu sanitize fuzz cross clean

demo: $(VENV)/ready
	@$(BIN)/pellucid sample digits demo/digits
	@$(BIN)/pellucid compare demo/digits --out demo/run

test: $(VENV)/ready
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# The linter, the formatter's opinion, and the type checker.
check: $(VENV)/ready
	@$(BIN)/ruff check src tests benchmarks
	@$(BIN)/ruff format --check src tests benchmarks
	@$(BIN)/mypy

# The page of `pellucid see`, from web/ (needs Node.js 20.19 or newer). What is built is kept, so that nobody else needs it.
page: web/node_modules/ready
	@cd web && npm run --silent check && npm run --silent build -- --logLevel warn

# That what is kept is what its sources give, and that a wheel has it (one without the engine, which takes no compiler).
check-page: web/node_modules/ready $(VENV)/ready
	@cd web && npm run --silent check && npm run --silent build -- --logLevel warn --outDir ../build/page
	@diff -r build/page src/pellucid/web/page && echo "The page is what its sources give."
	@rm -rf build/wheel && $(BIN)/pip wheel --quiet --no-deps --config-settings wheel.cmake=false --wheel-dir build/wheel .
	@$(BIN)/python -m zipfile -e build/wheel/*.whl build/wheel
	@diff -r build/wheel/pellucid/web/page src/pellucid/web/page && echo "The wheel has the page."

# The guide as a folder to open from a disk or to put on a site: every figure's answers, computed once and stored.
guide: $(VENV)/ready
	@$(BIN)/python -m pellucid.web.guide build/guide

web/node_modules/ready: web/package-lock.json
	@cd web && npm ci --silent --no-audit --no-fund
	@touch $@

# Recurrent layers side by side with torch, ONNX Runtime and loops; an hour or more, and it goes on where it was stopped.
# The allocator's effect is measured too: "keeps" is a C library that does not give freed memory back to the system.
RESULTS := benchmarks/results/recurrent.jsonl
bench-recurrent: $(VENV)/ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@mkdir -p $(dir $(RESULTS))
	@$(BIN)/python -m benchmarks.recurrent --out $(RESULTS) --allocator keeps
	@$(BIN)/python -m benchmarks.recurrent --out $(RESULTS) --allocator system --table grid --threads 2
	@$(BIN)/python -m benchmarks.report $(RESULTS) --out docs

# Convolution and pooling side by side with torch and ONNX Runtime.
CONVOLUTION := benchmarks/results/convolution.jsonl
bench-convolution: $(VENV)/ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@mkdir -p $(dir $(CONVOLUTION))
	@$(BIN)/python -m benchmarks.convolution --out $(CONVOLUTION) --allocator keeps
	@grep -q '"networks"' $(CONVOLUTION) || $(BIN)/python -m benchmarks.networks --out $(CONVOLUTION)
	@$(BIN)/python -m benchmarks.report_convolution $(CONVOLUTION) --out docs

# Recurrent layers on an NVIDIA GPU side by side with cuDNN, loops and torch.compile; goes on where it was stopped. The
# environment needs a torch that has CUDA.
GPU := benchmarks/results/gpu.jsonl
bench-gpu: $(VENV)/ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@mkdir -p $(dir $(GPU))
	@$(BIN)/python -m benchmarks.gpu --out $(GPU)
	@$(BIN)/python -m benchmarks.report_gpu $(GPU) --out docs

# The native module with checks of memory and arithmetic (GCC's AddressSanitizer and UBSan), and the tests that exercise it.
# The first finding ends the run. Leaks are not asked for: Python keeps much until its end.
SANITIZED := LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=2048 \
	UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=1
NATIVE_TESTS := tests/ops/test_block.py tests/ops/test_pooling.py tests/ops/test_engine.py tests/ops/test_bfloat16.py tests/ops/test_recurrence.py tests/ops/test_random_cells.py tests/ops/test_fuzz.py

build/sanitize/ready: $(VENV)/ready CMakeLists.txt $(wildcard native/*)
	@echo "Building the native module with sanitizers (a minute or two)"
	@CXX=g++ $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps $(PIP_OPTIONS) -w build/sanitize/wheel \
		-C build-dir=build/sanitize -C cmake.define.PELLUCID_SANITIZE=address,undefined .
	@touch $@

sanitize: build/sanitize/ready
	@$(SANITIZED) $(BIN)/python -m pytest -p tests.sanitized $(NATIVE_TESTS)

# Malformed programs and buffers for SECONDS, thrown at the sanitized module.
SECONDS ?= 600
fuzz: build/sanitize/ready
	@$(SANITIZED) $(BIN)/python -m tests.sanitized tests.ops.fuzz $(SECONDS)

# The native core by Clang and for 64-bit Arm, with warnings as errors, and its self-test. CLANG and AARCH64_CXX name the
# compilers; where the system has none, zig brings both.
cross: $(VENV)/ready
	@test -n "$$CLANG$$AARCH64_CXX" || { command -v clang++ && command -v aarch64-linux-gnu-g++; } >/dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt ziglang
	@PYTHON=$(abspath $(BIN))/python native/tests/compilers

# torch is installed by its exact version: another spelling may bring builds of several gigabytes.
$(VENV)/ready: pyproject.toml constraints.txt CMakeLists.txt $(wildcard native/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pellucid needs Python 3.11 or newer; name one with make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (a minute or so, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 -c constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab,dev]'
	@touch $@

clean:
	rm -rf $(VENV) demo build dist web/node_modules
