/// The merges of a byte-pair encoding: which two ids merge, at what rank, and into which id.
///
/// Open addressing with the pair as key: a lookup per pair of neighbours is what encoding spends its time on.
struct MergeTable: MergeRules, Sendable {
    /// Ranks stay exact as the scores of a merge.
    static let maximumCount = 1 << 24

    private var keys: [UInt64]
    private var ranks: [Int32]
    private var results: [Int32] = []
    private static let free = UInt64.max

    /// A table with room for `capacity` merges.
    init(capacity: Int) {
        var slots = 16
        while slots < capacity * 2 { slots *= 2 }
        keys = Array(repeating: Self.free, count: slots)
        ranks = Array(repeating: 0, count: slots)
    }

    /// Adds a merge behind the others in rank; false, and nothing added, when the pair was there already.
    ///
    /// No more than the capacity may be added.
    mutating func append(left: Int, right: Int, result: Int) -> Bool {
        precondition(results.count * 2 < keys.count, "more merges than the table was made for")
        let key = Self.key(Int32(left), Int32(right))
        let slot = slot(for: key)
        guard keys[slot] == Self.free else { return false }
        keys[slot] = key
        ranks[slot] = Int32(results.count)
        results.append(Int32(result))
        return true
    }

    /// Minus the rank: the first merge of the list has the highest score.
    func score(_ left: MergeSymbol, _ right: MergeSymbol) -> Float? {
        let slot = slot(for: Self.key(left.id, right.id))
        return keys[slot] == Self.free ? nil : -Float(ranks[slot])
    }

    func mergedID(score: Float) -> Int32 { results[Int(-score)] }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The slot that holds the key, or the free one where it belongs.
    private func slot(for key: UInt64) -> Int {
        let hash = key &* 0x9E37_79B9_7F4A_7C15  // 2^64 over the golden ratio
        var slot = Int(truncatingIfNeeded: hash >> 32) & (keys.count - 1)
        while keys[slot] != key, keys[slot] != Self.free { slot = (slot + 1) & (keys.count - 1) }
        return slot
    }
}
