"""One function per code: what is known of one definition (`Subject`) -> findings. `compiler.passes` lists them in order."""
