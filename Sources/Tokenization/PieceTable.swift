/// A hash table from byte strings to ids that looks a range of a larger text up without copying it.
///
/// Open addressing over one pool of bytes; keys longer than the longest entry are rejected before hashing, so a lookup
/// costs at most the longest piece.
struct PieceTable: Sendable {
    private struct Entry {
        let start: Int
        let count: Int
        let id: Int
    }

    private var pool: [UInt8] = []
    private var entries: [Entry] = []
    private var slots: [Int32]  // an index into entries, or -1
    private var longest = 0

    /// An empty table.
    init() { slots = Array(repeating: -1, count: 1024) }

    /// Adds `text`; false when it was there already.
    mutating func insert(_ text: String, id: Int) -> Bool { insert(Array(text.utf8), id: id) }

    /// Adds `key`; false when it was there already.
    mutating func insert(_ key: [UInt8], id: Int) -> Bool {
        let slot = slot(for: key, 0..<key.count)
        guard slots[slot] < 0 else { return false }
        slots[slot] = Int32(entries.count)
        entries.append(Entry(start: pool.count, count: key.count, id: id))
        pool += key
        longest = max(longest, key.count)
        if entries.count * 2 > slots.count { grow() }
        return true
    }

    /// The id of the bytes of `text` in `range`, if they are an entry.
    func id(of text: [UInt8], _ range: Range<Int>) -> Int? {
        guard range.count <= longest else { return nil }
        let entry = slots[slot(for: text, range)]
        return entry < 0 ? nil : entries[Int(entry)].id
    }

    /// Doubles the slots, so that at most half are ever taken.
    private mutating func grow() {
        slots = Array(repeating: -1, count: slots.count * 2)
        for (index, entry) in entries.enumerated() {
            slots[slot(for: pool, entry.start..<entry.start + entry.count)] = Int32(index)
        }
    }

    /// The slot that holds the key, or the free one where it belongs.
    private func slot(for text: [UInt8], _ range: Range<Int>) -> Int {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a
        for index in range { hash = (hash ^ UInt64(text[index])) &* 0x100_0000_01B3 }
        var slot = Int(truncatingIfNeeded: hash ^ hash >> 32) & (slots.count - 1)
        while slots[slot] >= 0, !holds(entries[Int(slots[slot])], text, range) { slot = (slot + 1) & (slots.count - 1) }
        return slot
    }

    private func holds(_ entry: Entry, _ text: [UInt8], _ range: Range<Int>) -> Bool {
        guard entry.count == range.count else { return false }
        for offset in 0..<entry.count where pool[entry.start + offset] != text[range.lowerBound + offset] {
            return false
        }
        return true
    }
}
