# Every target sets up what it needs in .venv. `make help` explains them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage test-all test-keras test-training-torch test-torch test-reference test-lava test-nengo test-nengo-loihi test-browser fuzz fuzz-files fuzz-bytes fuzz-nengo test-oldest test-newest test-runner bench bench-first-path bench-accuracy bench-load bench-speed bench-map bench-sides lint format docs support figures lock clean

#: Leaves slow tests to `make test-all`.
FAST := $(if $(NMCOMPILE_FUZZ),, and not slow)

help: ## Explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.demo: pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint requirements/dev.txt --editable '.[report]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) install --quiet --requirement requirements/dev.txt
	@touch $@

setup: $(VENV)/.dev ## Set up the development environment in .venv

demo: $(VENV)/.demo ## Build the shipped MNIST network, run 1,000 images, write demo/report.html
	@mkdir -p demo
	$(BIN)/python -m nmcompile build examples/mnist/mnist.keras --calibrate examples/mnist/calibrate_500.npz -o demo/mnist.nmc
	$(BIN)/python -m nmcompile eval demo/mnist.nmc --data examples/mnist/test_1000.npz --report demo/report.html

#: Tests that need nothing but this package and its test dependencies.
OWN = not slow and not keras and not reference and not nengo and not browser and not torch

test: $(VENV)/.dev ## Run the tests (without Keras and reference emulators)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "$(OWN)"

coverage: $(VENV)/.dev ## Run the same tests with coverage, which takes twice as long
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "$(OWN)" --cov --cov-report=term:skip-covered

test-all: FAST :=
test-all: test-keras test-training-torch test-torch test-nengo test-nengo-loihi test-browser test-reference test-lava test-oldest test-newest $(VENV)/.dev ## Everything: slow tests, Keras, the reference emulators, oldest and newest Python
	$(BIN)/python -m pytest -m "not keras and not reference and not nengo and not browser and not torch"

test-browser: $(VENV)/.dev ## Open the map of a network in Chromium (NMCOMPILE_BROWSER=its path insists on it)
	$(PIP) install --quiet 'playwright>=1.45'
	$(BIN)/python -m pytest -m browser tests/analysis

test-keras: $(VENV)/.dev ## Compare live with Keras 3 (installs about 1 GB into .venv-keras)
	$(PYTHON) -m venv $(VENV)-keras
	$(VENV)-keras/bin/python -m pip --disable-pip-version-check install --quiet --constraint requirements/keras.txt --editable '.[keras]' pytest pytest-xdist hypothesis
	NUMBA_CACHE_DIR=$(VENV)-keras/numba KERAS_BACKEND=jax $(VENV)-keras/bin/python -m pytest -n 2 --dist loadfile -m "keras$(FAST)" tests/frontends tests/training

test-training-torch: $(VENV)/.dev ## Test nmcompile.training on Keras with PyTorch (in .venv-torch-keras)
	$(PYTHON) -m venv $(VENV)-torch-keras
	$(VENV)-torch-keras/bin/python -m pip --disable-pip-version-check install --quiet --constraint requirements/keras.txt --editable . keras torch pytest hypothesis
	NUMBA_CACHE_DIR=$(VENV)-torch-keras/numba OMP_NUM_THREADS=1 KERAS_BACKEND=torch $(VENV)-torch-keras/bin/python -m pytest -m "keras$(FAST)" tests/training

test-torch: ## Compare live with PyTorch modules (installs about 1 GB into .venv-torch-modules)
	$(PYTHON) -m venv $(VENV)-torch-modules
	$(VENV)-torch-modules/bin/python -m pip --disable-pip-version-check install --quiet --editable '.[torch]' nir nirtorch norse pytest snntorch
	NUMBA_CACHE_DIR=$(VENV)-torch-modules/numba $(VENV)-torch-modules/bin/python -m pytest -m "torch$(FAST)" tests/frontends tests/docs

$(VENV)-reference/.made: requirements/reference.txt
	$(PYTHON311) -m venv $(VENV)-reference
	$(VENV)-reference/bin/python -m pip --disable-pip-version-check install --quiet --requirement $<
	@touch $@

$(VENV)-lava/.made: requirements/lava.txt
	$(PYTHON310) -m venv $(VENV)-lava
	$(VENV)-lava/bin/python -m pip --disable-pip-version-check install --quiet --requirement $<
	@touch $@

test-reference: $(VENV)-reference/.made ## Compare live with nengo-loihi and Brian2Loihi (Python 3.11 in .venv-reference)
	NUMBA_CACHE_DIR=$(VENV)-reference/numba PYTHONPATH=. $(VENV)-reference/bin/python -m pytest -m reference tests/differential

test-lava: $(VENV)-lava/.made ## Compare live with Lava (Python 3.10 in .venv-lava)
	NUMBA_CACHE_DIR=$(VENV)-lava/numba PYTHONPATH=. $(VENV)-lava/bin/python -m pytest -m reference tests/differential

test-nengo: ## Test nmcompile.nengo with current Nengo and NumPy (in .venv-nengo)
	$(PYTHON) -m venv $(VENV)-nengo
	$(VENV)-nengo/bin/python -m pip --disable-pip-version-check install --quiet --constraint requirements/nengo.txt --editable '.[nengo,report]' pytest hypothesis
	NUMBA_CACHE_DIR=$(VENV)-nengo/numba NMCOMPILE_FUZZ=$(or $(NMCOMPILE_FUZZ),150) $(VENV)-nengo/bin/python -m pytest -m "nengo$(FAST)" tests/nengo$(if $(NMCOMPILE_FUZZ),/test_random_models.py)

NENGO_LOIHI := build/nengo-loihi/nengo-loihi-1.1.0

$(NENGO_LOIHI)/.made: requirements/nengo-loihi.txt
	$(PYTHON311) -m venv $(VENV)-nengo-loihi
	$(VENV)-nengo-loihi/bin/python -m pip --disable-pip-version-check install --quiet --requirement $<
	$(VENV)-nengo-loihi/bin/python -m pip --disable-pip-version-check download --quiet --no-deps --no-binary :all: --dest build/nengo-loihi nengo-loihi==1.1.0
	tar --extract --gzip --file build/nengo-loihi/nengo-loihi-1.1.0.tar.gz --directory build/nengo-loihi
	@touch $@

test-nengo-loihi: $(NENGO_LOIHI)/.made ## Run nengo-loihi's own tests with our emulator in place; THEIRS=1 for theirs
	cd $(NENGO_LOIHI) && NMCOMPILE_THEIRS=$(THEIRS) PYTHONPATH=$(CURDIR) NUMBA_CACHE_DIR=$(CURDIR)/$(VENV)-nengo-loihi/numba \
		$(CURDIR)/$(VENV)-nengo-loihi/bin/python -m pytest -p tools.nengo_loihi_suite -q nengo_loihi

N ?= 1000
REFERENCE ?= nengo-loihi
JOBS ?= 2
SEED ?= 1000000
FUZZ := $(VENV)-$(if $(filter lava,$(REFERENCE)),lava,reference)

fuzz-nengo: ## Compare N=… random nengo-loihi Models, with noise and learning, on both emulators
	$(MAKE) test-nengo NMCOMPILE_FUZZ=$(N)

fuzz: $(FUZZ)/.made ## Compare N=… random networks with REFERENCE=nengo-loihi, brian2-loihi or lava; JOBS=…, SEED=…
	NUMBA_CACHE_DIR=$(FUZZ)/numba $(FUZZ)/bin/python tools/fuzz.py --programs $(N) --reference $(REFERENCE) --jobs $(JOBS) --seed $(SEED)

PYTHON310 ?= python3.10
PYTHON311 ?= python3.11
PYTHON313 ?= python3.13

test-oldest: ## The tests on Python 3.10 with NumPy 1.26
	$(PYTHON310) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip --disable-pip-version-check install --quiet 'numpy==1.26.4' --editable '.[report]' pytest hypothesis
	NUMBA_CACHE_DIR=$(VENV)-oldest/numba $(VENV)-oldest/bin/python -m pytest -m "$(OWN)"

test-newest: ## The tests on Python 3.13 with NumPy 2
	$(PYTHON313) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python -m pip --disable-pip-version-check install --quiet 'numpy>=2' --editable '.[report]' pytest hypothesis
	NUMBA_CACHE_DIR=$(VENV)-newest/numba $(VENV)-newest/bin/python -m pytest -m "$(OWN)"

PYTHON36 ?= python3.6
PYTHON38 ?= python3.8

test-runner: $(VENV)/.dev ## Run the board's runner on Python 3.6 and 3.8 against the virtual board
	$(PYTHON36) -m venv $(VENV)-python3.6
	$(PYTHON38) -m venv $(VENV)-python3.8
	$(VENV)-python3.6/bin/python -m pip --disable-pip-version-check install --quiet numpy
	$(VENV)-python3.8/bin/python -m pip --disable-pip-version-check install --quiet numpy
	$(BIN)/python -m pytest tests/backends/board/test_old_pythons.py

FORMAT ?= onnx

fuzz-files: $(VENV)/.dev ## Read N=… mutated model files, FORMAT=onnx, keras, nir or lava, each within a limit on memory and time; SEED=…
	$(BIN)/python tools/fuzz_files.py --files $(N) --format $(FORMAT) --seed $(SEED)

fuzz-bytes: $(VENV)/.dev ## Read N=… files whose bytes atheris makes up, until the first finding; FORMAT=onnx, keras, nir or lava; SEED=…
	$(PIP) install --quiet 'atheris>=3'
	$(BIN)/python tools/fuzz_bytes.py --runs $(N) --format $(FORMAT) --seed $(SEED)

bench: bench-first-path bench-accuracy bench-load bench-speed bench-map ## All benchmarks; MNIST=… FASHION=… for whole test sets, DOCS=1 for the page

bench-first-path: $(VENV)/.demo ## Measure start, size, and accuracy of the shipped networks
	$(BIN)/python -m tools.bench.first_path $(if $(MNIST),--mnist $(MNIST)) $(if $(FASHION),--fashion $(FASHION))
	$(PAGE)

bench-accuracy: $(VENV)/.demo ## Measure accuracy on whole test sets: MNIST=… FASHION=… CIFAR10=… (30 min), ABLATION=1 for each option
	$(BIN)/python -m tools.bench.accuracy $(SETS)
	$(if $(ABLATION),$(BIN)/python -m tools.bench.ablation $(SETS))
	$(PAGE)

SETS = $(if $(MNIST),--mnist $(MNIST)) $(if $(FASHION),--fashion $(FASHION)) $(if $(CIFAR10),--cifar10 $(CIFAR10))

bench-load: $(VENV)/.dev ## Measure how long files of 10 million weights take to load
	$(BIN)/python -m tools.bench.load
	$(PAGE)

bench-speed: $(VENV)/.demo bench-sides ## Measure the emulator beside nengo-loihi, Lava and PyTorch, and on whole chips
	$(BIN)/python -m tools.bench.speed $(if $(MNIST),--mnist $(MNIST))
	$(PAGE)

bench-map: $(VENV)/.demo $(VENV)-reference/.bench ## Measure the mapper: cores, chips, time and memory, from small networks to 768 chips
	$(PIP) install --quiet 'scipy>=1.11'
	$(BIN)/python -m tools.bench.map
	$(BIN)/python -m tools.bench.map_scale
	$(PAGE)

PAGE = $(if $(DOCS),$(BIN)/python -m tools.bench.page)

bench-sides: $(VENV)-reference/.bench $(VENV)-lava/.bench $(VENV)-torch/.bench ## Install what bench-speed compares with (about 2 GB)

# A side whose Python is missing is left out of the benchmark, in one sentence.
$(VENV)-reference/.bench: requirements/reference.txt
	@$(call side,reference,$(PYTHON311),nengo-loihi)

$(VENV)-lava/.bench: requirements/lava.txt
	@$(call side,lava,$(PYTHON310),Lava)

$(VENV)-torch/.bench: requirements/torch.txt
	@$(call side,torch,$(PYTHON311),PyTorch)

define side
if ! $(2) -c '' 2>/dev/null; then echo "There is no $(2), so $(3) is left out."; \
elif $(2) -m venv $(VENV)-$(1) && $(VENV)-$(1)/bin/python -m pip --disable-pip-version-check \
	install --quiet --requirement requirements/$(1).txt; then touch $@; \
else echo "$(3) cannot be installed, so it is left out."; fi
endef

lint: $(VENV)/.dev ## ruff, mypy and the rule that imports go down only
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

docs: $(VENV)/.dev ## Build the documentation into site/
	$(BIN)/python -m mkdocs build --strict

support: $(VENV)/.dev ## Write the page on what each format supports (the column of Nengo in .venv-nengo)
	$(BIN)/python -m tools.support_matrix
	if [ -x $(VENV)-nengo/bin/python ]; then $(VENV)-nengo/bin/python -m tools.support_matrix; fi

figures: $(VENV)/.demo ## Draw the pictures in docs/figures
	$(BIN)/python -m tools.figures

lock: $(VENV)/.dev ## Pin the development environment anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url --no-header --extra report --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url --no-header --extra keras --group test pyproject.toml -o requirements/keras.txt
	uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url --no-header --extra nengo --extra report --group test pyproject.toml -o requirements/nengo.txt

clean: ## Remove environments and everything that was built
	rm -rf $(VENV) $(VENV)-* build demo dist site .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
