import Foundation

/// An array between two fences: it ends at a page that must not be touched, and begins after values that are checked.
///
/// Reading or writing past the end stops the test process at the guilty instruction; writing before the beginning is
/// found by `isIntact`. Vectors of a kernel that stray beyond their tail are caught whatever they do with the lanes.
final class Fenced<Element: BitwiseCopyable> {
    let count: Int
    private let base: UnsafeMutableRawPointer
    private let mapped: Int
    private let data: UnsafeMutableRawPointer
    private static var page: Int { 4096 }
    private static var margin: Int { 256 }

    init(_ values: [Element]) {
        count = values.count
        let bytes = count * MemoryLayout<Element>.stride
        let usable = (bytes + Self.margin + Self.page - 1) / Self.page * Self.page
        mapped = usable + Self.page
        let map = mmap(nil, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        precondition(map != MAP_FAILED, "mmap failed")
        base = map!
        precondition(mprotect(base + usable, Self.page, PROT_NONE) == 0, "mprotect failed")
        data = base + (usable - bytes)
        memset(data - Self.margin, 0xA5, Self.margin)
        values.withUnsafeBytes { if bytes > 0 { memcpy(data, $0.baseAddress!, bytes) } }
    }

    deinit { munmap(base, mapped) }

    var pointer: UnsafeMutablePointer<Element> { data.assumingMemoryBound(to: Element.self) }
    var raw: UnsafeMutableRawPointer { data }
    var values: [Element] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
    /// Nothing was written before the beginning.
    var isIntact: Bool { (1...Self.margin).allSatisfy { (data - $0).load(as: UInt8.self) == 0xA5 } }
}

/// A value no kernel computes here, for memory that must stay as it is.
let untouched: Float = -12345.678
