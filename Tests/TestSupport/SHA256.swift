/// SHA-256 (FIPS 180-4) in lower-case hexadecimal, for comparing with recorded digests.
public func sha256(_ message: [UInt8]) -> String {
    func root(_ prime: Int, _ power: Double) -> UInt32 {
        // The first 32 bits of the fraction.
        let value = power == 2 ? Double(prime).squareRoot() : cubeRoot(Double(prime))
        return UInt32((value - value.rounded(.down)) * 4_294_967_296)
    }
    func cubeRoot(_ x: Double) -> Double {
        var root = x / 2
        for _ in 0..<100 { root = (2 * root + x / (root * root)) / 3 }
        return root
    }
    let primes = (2...311).filter { n in !(2..<n).contains { n % $0 == 0 } }
    let constants = primes.map { root($0, 3) }
    var hash = primes.prefix(8).map { root($0, 2) }

    var padded = message + [0x80]
    while padded.count % 64 != 56 { padded.append(0) }
    for shift in stride(from: 56, through: 0, by: -8) {
        padded.append(UInt8(truncatingIfNeeded: (message.count * 8) >> shift))
    }

    func turn(_ x: UInt32, _ by: UInt32) -> UInt32 { x >> by | x << (32 - by) }
    var w = [UInt32](repeating: 0, count: 64)
    for block in stride(from: 0, to: padded.count, by: 64) {
        for i in 0..<16 {
            let at = block + 4 * i
            w[i] =
                UInt32(padded[at]) << 24 | UInt32(padded[at + 1]) << 16 | UInt32(padded[at + 2]) << 8
                | UInt32(padded[at + 3])
        }
        for i in 16..<64 {
            let s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3
            let s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10
            w[i] = w[i - 16] &+ s0 &+ w[i - 7] &+ s1
        }
        var (a, b, c, d, e, f, g, h) = (hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7])
        for i in 0..<64 {
            let s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)
            let t1 = h &+ s1 &+ (e & f ^ ~e & g) &+ constants[i] &+ w[i]
            let s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)
            let t2 = s0 &+ (a & b ^ a & c ^ b & c)
            (h, g, f, e, d, c, b, a) = (g, f, e, d &+ t1, c, b, a, t1 &+ t2)
        }
        for (i, value) in [a, b, c, d, e, f, g, h].enumerated() { hash[i] &+= value }
    }
    let digits = Array("0123456789abcdef")
    return String(hash.flatMap { word in stride(from: 28, through: 0, by: -4).map { digits[Int(word >> $0 & 15)] } })
}
