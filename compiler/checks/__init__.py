"""One function per code: (module, flow) -> findings. `compiler.passes` lists them in order."""
