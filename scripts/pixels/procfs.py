"""Memory and CPU time of this process, counted as benches/prepare counts them."""

import resource


def cpu_ms():
    """CPU time of all threads, of the user and of the kernel."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1000


def memory():
    """Resident memory now, its peak, and pages of files in it, in bytes."""
    fields = {}
    with open("/proc/self/status") as status:
        for line in status:
            name, value = line.split(":", 1)
            fields[name] = value
    return tuple(int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM", "RssFile"))


def reset_peak():
    """Starts the peak anew; a kernel that does not allow it counts from the start of the process."""
    try:
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
    except OSError:
        pass
