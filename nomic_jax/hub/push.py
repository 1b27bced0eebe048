# Copyright 2026 The nomic_jax Authors
# SPDX-License-Identifier: Apache-2.0
"""Uploads a model directory to the Hugging Face Hub.

A repository is created before the work that makes the model, because only that
shows that the name, the token and its permissions are right.
"""

from collections.abc import Iterator
import contextlib
import os
import re

from nomic_jax.errors import UserError

_NAME = r"[\w.-]+/[\w.-]+"
# Of an earlier upload: they would no longer belong to the weights.
_REPLACED = ("*.safetensors", "*.bin", "*.gguf", "onnx/*", "openvino/*")
# reproduce.json has paths of this machine.
_KEPT_HERE = ("reproduce.json",)


def create(name: str, private: bool = False) -> None:
  """Creates a model repository, unless it exists.

  Args:
    name: OWNER/NAME.
    private: whether only its owner can read it.

  Raises:
    UserError: for an invalid name, without a token or its permission, without
      a connection, or if the repository exists and is public although
      `private` is given.
  """
  import huggingface_hub

  if not re.fullmatch(_NAME, name):
    raise UserError(
      f"--push_to_hub={name}: expected OWNER/NAME, such as me/my-model"
    )
  if not huggingface_hub.get_token():
    raise UserError(
      f"--push_to_hub={name}: no token; log in by `hf auth login` or set "
      "HF_TOKEN to a token that may write, from "
      "https://huggingface.co/settings/tokens"
    )
  api = huggingface_hub.HfApi()
  with _errors(name, "nothing was exported"):
    api.create_repo(name, private=private or None, exist_ok=True)
    if private and not api.model_info(name).private:
      raise UserError(
        f"--push_to_hub={name}: exists and is public, so --private has no "
        "effect; choose another name, or make it private on the Hub"
      )


def upload(directory: str | os.PathLike, name: str) -> str:
  """Uploads a model directory and returns the address of the model.

  Files of an earlier upload that belong to other weights are removed;
  reproduce.json, which has paths of this machine, is not uploaded.

  Args:
    directory: the directory of the model, complete.
    name: OWNER/NAME of an existing repository.

  Raises:
    UserError: if the Hub refuses it or cannot be reached.
  """
  import huggingface_hub

  api = huggingface_hub.HfApi()
  with _errors(name, f"the model is complete in {directory}"):
    api.upload_folder(
      repo_id=name,
      folder_path=str(directory),
      commit_message="Upload a model exported by nomic_jax",
      ignore_patterns=list(_KEPT_HERE),
      delete_patterns=list(_REPLACED),
    )
  return f"{api.endpoint}/{name}"


@contextlib.contextmanager
def _errors(name: str, state: str) -> Iterator[None]:
  """Turns errors of the Hub and of the connection into one line each."""
  from huggingface_hub import constants
  from huggingface_hub import errors

  try:
    yield
  except errors.HfHubHTTPError as e:
    status = e.response.status_code if e.response is not None else 0
    why = {
      401: "the token is not valid; log in again by `hf auth login`",
      403: "the token may not write there; use one with the role 'write' for "
      f"{name.partition('/')[0]}",
      404: "there is no such repository, or the token may not see it",
    }.get(status, "")
    said = e.server_message or str(e).strip().partition("\n")[0]
    raise UserError(
      f"--push_to_hub={name}: the Hub answered {status}"
      + (f", {why}" if why else "")
      + f" ({' '.join(said.split())}); {state}"
    ) from e
  except UserError:
    raise
  except Exception as e:  # httpx's errors, or requests', or hf_xet's own
    if constants.is_offline_mode():
      why = "HF_HUB_OFFLINE=1 forbids it; unset it"
    else:
      why = str(e).strip().partition("\n")[0] or type(e).__name__
    raise UserError(
      f"--push_to_hub={name}: cannot upload: {why}; {state}"
    ) from e
