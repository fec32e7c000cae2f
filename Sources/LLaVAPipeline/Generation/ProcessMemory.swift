import Foundation

/// Memory of this process.
public enum ProcessMemory {
    /// Largest resident size so far, in bytes.
    ///
    /// The kernel's mark for this program's own memory where there is one: what `getrusage` gives begins with the size of
    /// the process that started this one.
    public static var peakBytes: Int {
        if let kilobytes = highWaterMark { return kilobytes * 1024 }
        var usage = rusage()
        guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
        return usage.ru_maxrss * 1024
    }

    /// Pages that the system has handed out or mapped so far, to all threads.
    public static var pageFaults: Int {
        var usage = rusage()
        guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
        return usage.ru_minflt + usage.ru_majflt
    }

    /// `VmHWM` of `/proc/self/status`, in kilobytes.
    private static var highWaterMark: Int? {
        guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return nil }
        return status.firstMatch(of: /VmHWM:\s+(\d+) kB/).flatMap { Int($0.1) }
    }
}
