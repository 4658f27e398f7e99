# The only interface: `make` shows what there is. Everything runs in environments that `make setup` makes.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ENVIRONMENT    ?= dev
PRIMARY_REGION ?= eu-west-1
DR_REGION      ?= eu-central-1
# Where AWS Health sends what it says of another region: those about us-west-2 itself go to us-east-1.
HEALTH_REGION  ?= $(if $(filter us-west-2,$(PRIMARY_REGION)),us-east-1,us-west-2)
# Test processes side by side: one for each core, and where they wait more than they work, some more.
JOBS           ?= 2
LAB_JOBS       ?= 3
CYCLES         ?= 3
SEED           ?=

# The tools' environment first: its Python is the functions' runtime, which `sam build` looks for.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export AWS_PAGER :=

##@ On this machine

.PHONY: setup
setup: ## Make the two Python environments from the locked requirements
	@scripts/setup

.PHONY: lab
lab: setup mariadb ## Start two regions here, deploy both with sam, stay up until Ctrl-C (LAB_PORT, LAB_TIME_SCALE)
	@.venv-lab/bin/python -m lab serve

.PHONY: demo
demo: setup mariadb ## Lose the primary region under load, fail over, come home, and account for every order
	@.venv-lab/bin/python -m lab demo

.PHONY: gameday
gameday: setup mariadb ## The same in a series of CYCLES circles that chance draws (CYCLES=3 SEED=…): 0 only if all held
	@.venv-lab/bin/python -m lab gameday --cycles $(CYCLES) $(if $(SEED),--seed $(SEED))

.PHONY: mariadb
mariadb:
	@scripts/install-mariadb

##@ Checks

.PHONY: test
test: setup mariadb lint type templates unit lab-tests ## Everything that CI runs: lint, types, templates, all tests

.PHONY: lint
lint: setup ## Format and style of the Python code, and the state machines
	ruff format --check .
	ruff check .
	python scripts/check_state_machines.py statemachine/*.asl.json

.PHONY: format
format: setup ## Put the Python code into its one format and fix what can be fixed
	ruff format .
	ruff check --fix .

.PHONY: type
type: setup ## Types, strictly
	mypy layers/pilotlight/pilotlight lab tests scripts
	@# One run a function: each folder has an app.py of its own.
	for app in functions/*/app.py; do mypy "$$app"; done

.PHONY: templates
templates: setup ## The templates, by cfn-lint and by sam
	cfn-lint template.yaml infra/*.yaml
	AWS_DEFAULT_REGION=$(PRIMARY_REGION) sam validate --lint

.PHONY: unit
unit: setup ## Tests that need no lab: the core, the functions, the templates
	python -m pytest --numprocesses $(JOBS) tests --ignore tests/lab --ignore tests/workflow

.PHONY: lab-tests
lab-tests: setup mariadb ## Tests in the lab: two deployed regions, real databases, whole workflows
	@# Side by side, a file each: they wait more than they work. The long ones first, or the last of them runs alone.
	python -m pytest --numprocesses $(LAB_JOBS) --dist loadfile --no-loadscope-reorder tests/workflow tests/lab

##@ On AWS

.PHONY: build
build: setup ## Build the application with sam
	@[ -s layers/dependencies/certificates/rds.pem ] || echo "WARNING: no layers/dependencies/certificates/rds.pem:" \
	  "connections to the databases are encrypted, but NOT AUTHENTICATED. The way out is in docs/deploy.md, TLS" >&2
	sam build --cached

.PHONY: deploy-primary
deploy-primary: build ## Deploy the primary region (samconfig.toml: ENVIRONMENT-primary; ROLLBACK=1 where something is replaced)
	sam deploy --config-env $(ENVIRONMENT)-primary --no-fail-on-empty-changeset $(if $(ROLLBACK),--no-disable-rollback)

.PHONY: deploy-dr
deploy-dr: build ## Deploy the DR region (samconfig.toml: ENVIRONMENT-dr; ROLLBACK=1 where something is replaced)
	sam deploy --config-env $(ENVIRONMENT)-dr --no-fail-on-empty-changeset $(if $(ROLLBACK),--no-disable-rollback)

.PHONY: deploy-health
deploy-health: setup ## Bring AWS Health's events to DR from us-west-2, where DR is another region (ENVIRONMENT-health)
	@# sam looks for its configuration beside the template.
	sam deploy --template-file infra/health-forward.yaml --config-file "$(CURDIR)/samconfig.toml" \
	  --config-env $(ENVIRONMENT)-health --region $(HEALTH_REGION) \
	  --no-fail-on-empty-changeset

.PHONY: image
image: setup ## Publish an image of the running application in both regions, from whichever is active (FRESH=1: a new one)
	@FRESH="$(FRESH)" python -m scripts.image $(ENVIRONMENT) $(PRIMARY_REGION) $(DR_REGION)

.PHONY: status
status: setup ## Show who is active, what is watched, decided and asked, and what was started last
	@python -m scripts.status $(ENVIRONMENT) $(DR_REGION)

.PHONY: automation
automation: setup ## Keep everything from starting by itself (OFF='why'), or let it again (ON=1)
	@python -m scripts.automation $(ENVIRONMENT) $(DR_REGION) $(if $(OFF),off "$(OFF)",$(if $(ON),on,show))

.PHONY: approve
approve: setup ## Say yes to what a workflow asks (REASON='why'); without a reason it only shows the question
	@python -m scripts.approval $(ENVIRONMENT) $(DR_REGION) approve "$(REASON)"

.PHONY: reject
reject: setup ## Say no to it (REASON='why')
	@python -m scripts.approval $(ENVIRONMENT) $(DR_REGION) reject "$(REASON)"

.PHONY: failover
failover: setup ## Fail over to the DR region, now (FORCE=1: where a refusal says so)
	@scripts/failover $(ENVIRONMENT) $(DR_REGION) ungraceful $(FORCE)

.PHONY: switchover
switchover: setup ## Move the service to the DR region as planned, without losing a write; both regions must be well
	@scripts/failover $(ENVIRONMENT) $(DR_REGION) graceful $(FORCE)

.PHONY: reprotect
reprotect: setup ## Build a standby in the region that is not active; its old database is kept (REGION, if you want to be sure)
	@scripts/reprotect $(ENVIRONMENT) $(DR_REGION) $(REGION)

.PHONY: failback
failback: setup ## Go back to the primary region without losing a write (METHOD=snapshot: without a replica, with a long freeze)
	@python -m scripts.failback $(ENVIRONMENT) $(DR_REGION) $(or $(METHOD),replica) $(FORCE)

.PHONY: retired
retired: setup ## List the databases that lost their role and are kept: size, cost, what they hold
	@python -m scripts.retired list $(ENVIRONMENT) $(PRIMARY_REGION) $(DR_REGION)

.PHONY: retire-purge
retire-purge: setup ## Remove one of them for good, by its whole name (ID=dev-db-retired-3)
	@python -m scripts.retired purge $(ENVIRONMENT) "$(ID)" $(PRIMARY_REGION) $(DR_REGION)

.PHONY: sync
sync: setup ## Make the parameters of both regions equal, now (DRY_RUN=1 prints the difference, LABELS=1 looks at labels)
	@python -m scripts.sync $(ENVIRONMENT) $(DR_REGION)

.PHONY: objects
objects: setup ## Compare the objects of both regions after a return, and copy what never crossed; goes on where it stopped
	@python -m scripts.objects $(ENVIRONMENT) $(DR_REGION)

.PHONY: rotate
rotate: setup ## Give the application's account a new password, in both regions (ALIGN=1: only set the one that the secret has)
	@python -m scripts.rotate $(ENVIRONMENT) $(DR_REGION)

##@ The house

.PHONY: lock
lock: setup ## Lock the requirements anew, from their .in files
	@scripts/lock

.PHONY: clean
clean: ## Remove what is built; the environments stay
	rm -rf .aws-sam build .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help
help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
