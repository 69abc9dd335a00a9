#!/bin/sh
# Puts diascope and its pinned dependencies into a virtual environment.
# `make` and docker/Dockerfile both call it, so what is tested here is what the image does.
#
#   sh docker/install.sh VENV user        the package alone, as a wheel
#   sh docker/install.sh VENV developer   the checkout itself (editable), with the tools of `make test`
#
# PYTHON       which Python makes VENV, if it is not there yet (3.11 to 3.13)
# TORCH        cpu or cuda
# TORCH_INDEX  where to look for that build of torch when pip's own index has not got it
set -eu

venv=$1
kind=$2
torch=${TORCH:-cpu}
torch_version=$(sed -n 's/^torch==//p' constraints.txt)

# A half-made environment (interrupted, or without ensurepip) has no pip: make it again.
[ -x "$venv/bin/pip" ] || "${PYTHON:-python3.11}" -m venv --clear "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check --quiet"

say() { printf 'install: %s\n' "$*" >&2; }

# The CPU build of torch is a quarter of the size of the CUDA build; on Linux it has a version of
# its own, which not every index carries. macOS has one build only.
install_torch_cpu() {
    if [ "$(uname -s)" != Linux ]; then
        $pip install -c constraints.txt "torch==$torch_version"
    elif $pip install -c constraints.txt "torch==$torch_version+cpu" 2>/dev/null; then
        :
    elif [ -n "${TORCH_INDEX:-}" ] && say "looking for the CPU build of torch at $TORCH_INDEX" &&
        $pip install --retries 1 --timeout 20 --no-deps --index-url "$TORCH_INDEX" "torch==$torch_version+cpu"; then
        :
    else
        say "no CPU build of torch $torch_version found; taking the larger default build, which also runs on the CPU"
        $pip install -c constraints.txt "torch==$torch_version"
    fi
}

install_torch_cuda() {
    if [ -n "${TORCH_INDEX:-}" ]; then
        $pip install --no-deps --index-url "$TORCH_INDEX" "torch==$torch_version"
    else
        $pip install -c constraints.txt "torch==$torch_version"
    fi
    "$venv/bin/python" -c 'import sys, torch; sys.exit(torch.version.cuda is None)' || {
        say "pip's index gave a build of torch without CUDA; set TORCH_INDEX to an index that has one, or use TORCH=cpu"
        exit 1
    }
}

say "build tools and torch $torch_version ($torch)"
$pip install -c constraints.txt pip hatchling editables
case $torch in
    cpu) install_torch_cpu ;;
    cuda) install_torch_cuda ;;
    *) say "TORCH must be cpu or cuda, not $torch"; exit 2 ;;
esac

say "diascope and its dependencies"
case $kind in
    user) $pip install -c constraints.txt --no-build-isolation . ;;
    developer) $pip install -c constraints.txt --no-build-isolation --group dev --editable . ;;
    *) say "the second word must be user or developer, not $kind"; exit 2 ;;
esac
