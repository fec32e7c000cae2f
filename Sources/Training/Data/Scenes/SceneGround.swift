/// What lies behind the objects of a scene: nearly grey, light or dark, plain or with a texture.
public struct SceneGround: Sendable, Hashable {
    /// The texture.
    public enum Texture: UInt8, CaseIterable, Sendable {
        /// One colour.
        case plain
        /// Every pixel a little lighter or darker.
        case noise
        /// From one colour to another across the picture.
        case gradient
        /// Two colours in slanted bands.
        case stripes
        /// Two colours in squares.
        case checks
    }

    /// The texture.
    public var texture: Texture
    /// Red, green and blue.
    public var first: [Int]
    /// Red, green and blue of the other colour; how far noise goes is its distance from the first.
    public var second: [Int]
    /// Direction across: the texture changes along (x * across + y * down).
    public var across: Int
    /// Direction down.
    public var down: Int
    /// Width of a band or square, in units of a scene.
    public var period: Int
    /// What the noise is drawn from.
    public var seed: UInt64

    /// A ground drawn at random.
    init(drawing random: inout SplitMix64) {
        texture = Texture.allCases[random.below(Texture.allCases.count)]
        let light = random.coin() ? random.value(in: 40...100) : random.value(in: 150...214)
        first = (0..<3).map { _ in light + random.value(in: -9...9) }
        let step = random.value(in: 14...32) * (light < 128 ? 1 : -1)
        second = first.map { $0 + step }
        across = random.value(in: -3...3)
        down = random.value(in: 1...3)
        period = random.value(in: 5...16)
        seed = random.next()
    }

    /// The pixels [side, side, 3], all in whole numbers.
    func pixels(side: Int) -> [UInt8] {
        var pixels = [UInt8](repeating: 0, count: side * side * 3)
        let (a, b) = (first.map { UInt8(clamping: $0) }, second.map { UInt8(clamping: $0) })
        func put(_ index: Int, _ r: UInt8, _ g: UInt8, _ b: UInt8) {
            pixels[index] = r
            pixels[index + 1] = g
            pixels[index + 2] = b
        }
        let (r0, g0, b0) = (a[0], a[1], a[2])
        switch texture {
        case .plain:
            for index in stride(from: 0, to: pixels.count, by: 3) { put(index, r0, g0, b0) }
        case .noise:
            var random = SplitMix64(seed: seed)
            let amplitude = abs(second[0] - first[0])
            var bits: UInt64 = 0
            for pixel in 0..<side * side {
                if pixel & 7 == 0 { bits = random.next() }
                let offset = (Int(bits & 255) &* (2 &* amplitude &+ 1)) >> 8 &- amplitude
                bits >>= 8
                put(
                    pixel * 3, UInt8(clamping: Int(r0) &+ offset), UInt8(clamping: Int(g0) &+ offset),
                    UInt8(clamping: Int(b0) &+ offset))
            }
        case .gradient:
            let least = min(0, across) * (side - 1)
            let span = max(1, (abs(across) + down) * (side - 1))
            let (dr, dg, db) = (second[0] - first[0], second[1] - first[1], second[2] - first[2])
            for y in 0..<side {
                for x in 0..<side {
                    let t = ((x &* across &+ y &* down &- least) << 10) / span
                    put(
                        (y &* side &+ x) &* 3, UInt8(clamping: Int(r0) &+ (dr &* t) >> 10),
                        UInt8(clamping: Int(g0) &+ (dg &* t) >> 10), UInt8(clamping: Int(b0) &+ (db &* t) >> 10))
                }
            }
        case .stripes:
            // Along the normal (across, down), whose length is the root of the sum of squares.
            let length = Int((Double(across * across + down * down) * 65536).squareRoot())
            let width = max(1, period * side * length / Scene.extent)
            for y in 0..<side {
                for x in 0..<side {
                    let along = (x &* across &+ y &* down) << 8 &+ width << 6
                    let isOdd = (along / width) & 1 == 1
                    if isOdd {
                        put((y &* side &+ x) &* 3, b[0], b[1], b[2])
                    } else {
                        put((y &* side &+ x) &* 3, r0, g0, b0)
                    }
                }
            }
        case .checks:
            let width = max(1, period * side / Scene.extent)
            for y in 0..<side {
                for x in 0..<side {
                    let isOdd = (x / width &+ y / width) & 1 == 1
                    if isOdd {
                        put((y &* side &+ x) &* 3, b[0], b[1], b[2])
                    } else {
                        put((y &* side &+ x) &* 3, r0, g0, b0)
                    }
                }
            }
        }
        return pixels
    }
}
