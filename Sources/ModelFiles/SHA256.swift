/// The SHA-256 digest of bytes that come in pieces (FIPS 180-4).
public struct SHA256: Sendable {
    private var hash: [UInt32] = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]
    private var block: [UInt8] = []
    private var byteCount = 0

    /// The digest of nothing so far.
    public init() { block.reserveCapacity(64) }

    /// The digest of some bytes, in lower-case hexadecimal.
    public static func hexadecimal(_ bytes: [UInt8]) -> String {
        var digest = SHA256()
        digest.update(bytes)
        return digest.hexadecimal()
    }

    /// Takes the next bytes.
    public mutating func update(_ bytes: [UInt8]) {
        byteCount += bytes.count
        var position = 0
        if !block.isEmpty {
            position = min(64 - block.count, bytes.count)
            block += bytes[..<position]
            guard block.count == 64 else { return }
            compress(block, at: 0)
            block.removeAll(keepingCapacity: true)
        }
        while position + 64 <= bytes.count {
            compress(bytes, at: position)
            position += 64
        }
        block += bytes[position...]
    }

    /// Takes the bytes of a text in UTF-8.
    public mutating func update(_ text: String) { update(Array(text.utf8)) }

    /// The digest of all bytes so far, in lower-case hexadecimal; more may follow.
    public func hexadecimal() -> String {
        var padded = self
        let bits = UInt64(byteCount) * 8
        var tail: [UInt8] = [0x80]
        tail += [UInt8](repeating: 0, count: (119 - block.count) % 64)
        tail += stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: bits >> UInt64($0)) }
        padded.update(tail)
        let digits = Array("0123456789abcdef")
        return String(
            padded.hash.flatMap { word in
                stride(from: 28, through: 0, by: -4).map { digits[Int(word >> UInt32($0) & 15)] }
            })
    }

    private mutating func compress(_ bytes: [UInt8], at start: Int) {
        func turn(_ x: UInt32, _ by: UInt32) -> UInt32 { x &>> by | x &<< (32 &- by) }
        var w: InlineArray<64, UInt32> = .init(repeating: 0)
        for i in 0..<16 {
            let at = start &+ 4 &* i
            w[i] =
                UInt32(bytes[at]) << 24 | UInt32(bytes[at &+ 1]) << 16 | UInt32(bytes[at &+ 2]) << 8
                | UInt32(bytes[at &+ 3])
        }
        for i in 16..<64 {
            let s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] &>> 3
            let s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] &>> 10
            w[i] = w[i - 16] &+ s0 &+ w[i - 7] &+ s1
        }
        var (a, b, c, d, e, f, g, h) = (hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7])
        for i in 0..<64 {
            let s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)
            let t1 = h &+ s1 &+ (e & f ^ ~e & g) &+ Self.constants[i] &+ w[i]
            let s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)
            let t2 = s0 &+ (a & b ^ a & c ^ b & c)
            (h, g, f, e, d, c, b, a) = (g, f, e, d &+ t1, c, b, a, t1 &+ t2)
        }
        for (i, value) in [a, b, c, d, e, f, g, h].enumerated() { hash[i] &+= value }
    }

    /// The first 32 bits of the fractions of the cube roots of the first 64 primes.
    private static let constants: [UInt32] = (2...311).filter { n in !(2..<n).contains { n % $0 == 0 } }.map { prime in
        var root = Double(prime) / 2
        for _ in 0..<100 { root = (2 * root + Double(prime) / (root * root)) / 3 }
        return UInt32((root - root.rounded(.down)) * 4_294_967_296)
    }
}
