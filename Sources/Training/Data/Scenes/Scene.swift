/// The outline of an object in a scene.
public enum SceneShape: UInt8, CaseIterable, Sendable, Codable {
    /// A filled disc.
    case circle
    /// Sides along the picture's.
    case square
    /// One corner up.
    case triangle
    /// Five points, one up.
    case star
    /// A plus sign.
    case cross
    /// A disc with a hole that shows the ground.
    case ring

    /// The word for it.
    public var name: String {
        ["circle", "square", "triangle", "star", "cross", "ring"][Int(rawValue)]
    }

    /// The word for several.
    public var plural: String { self == .cross ? "crosses" : name + "s" }
}

/// The colour of an object in a scene; grounds are nearly grey, so that every one of them shows.
public enum SceneColor: UInt8, CaseIterable, Sendable, Codable {
    /// One of eight.
    case red, orange, yellow, green, cyan, blue, purple, pink

    /// The word for it.
    public var name: String {
        ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"][Int(rawValue)]
    }

    /// Red, green and blue, 0...255, before an object's own small deviation.
    var channels: [Int] {
        switch self {
        case .red: [214, 36, 40]
        case .orange: [244, 132, 24]
        case .yellow: [246, 222, 46]
        case .green: [44, 158, 62]
        case .cyan: [52, 204, 216]
        case .blue: [38, 76, 212]
        case .purple: [132, 48, 172]
        case .pink: [246, 138, 190]
        }
    }
}

/// How large an object of a scene is; no size lies between the two.
public enum SceneSize: UInt8, CaseIterable, Sendable, Codable {
    /// 8 to 10 units from the centre to the edge.
    case small
    /// 15 to 18 units.
    case large

    /// The word for it.
    public var name: String { self == .small ? "small" : "large" }

    /// The radii of the size in units of a scene.
    var radii: ClosedRange<Int> { self == .small ? 8...10 : 15...18 }
}

/// One object of a scene.
public struct SceneObject: Sendable, Hashable, Codable {
    /// Its outline.
    public var shape: SceneShape
    /// Its colour.
    public var color: SceneColor
    /// Its size.
    public var size: SceneSize
    /// Column of its centre, in units of which a picture is `Scene.extent` wide.
    public var x: Int
    /// Row of its centre.
    public var y: Int
    /// From the centre to the edge, in the same units.
    public var radius: Int
    /// What its red, green and blue differ by from those of its colour.
    public var tint: [Int8]

    /// Size, colour and shape in words: "small red circle".
    public var words: String { "\(size.name) \(color.name) \(shape.name)" }

    /// Whether the combination of shape and colour is kept for the held-out split.
    public var isHeldOut: Bool { Scene.isHeldOut(shape, color) }
}

/// Several objects that do not overlap, on a ground.
public struct Scene: Sendable, Hashable {
    /// Width and height in the units of the objects' positions; a picture of `extent` pixels has one unit a pixel.
    public static let extent = 128
    /// The most objects in a scene.
    public static let maximumObjectCount = 6

    /// The objects from top to bottom and left to right, by the row and column of their centres.
    public var objects: [SceneObject]
    /// What is behind them.
    public var ground: SceneGround

    /// Whether only the held-out split shows a combination: every shape has one such colour, and no two shapes the same.
    public static func isHeldOut(_ shape: SceneShape, _ color: SceneColor) -> Bool {
        switch (shape, color) {
        case (.circle, .purple), (.square, .orange), (.triangle, .cyan), (.star, .green), (.cross, .pink),
            (.ring, .red):
            true
        default: false
        }
    }

    /// What decides the split a scene may be in: the kinds of its objects and the part of the picture each lies in, on a
    /// grid of 8 x 8. Scenes that differ in anything else, such as the ground or a few pixels, have the same identity.
    public var identity: UInt64 {
        let keys = objects.map { object in
            let cell = object.y * 8 / Self.extent * 8 + object.x * 8 / Self.extent
            let kind = (Int(object.shape.rawValue) * 8 + Int(object.color.rawValue)) * 2 + Int(object.size.rawValue)
            return UInt64(kind * 64 + cell)
        }
        return keys.sorted().reduce(0x5CE4_E000) { SplitMix64.mixed($0 &* 0x9E37_79B9_7F4A_7C15 &+ $1 &+ 1) }
    }

    /// The split that the scene belongs to, whatever seed it was drawn with: held-out if an object is, else by identity;
    /// 8 of 10 identities are for training, one for validation and one for test.
    public var split: DataSplit {
        if objects.contains(where: \.isHeldOut) { return .heldOut }
        switch identity % 10 {
        case 0: return .validation
        case 1: return .test
        default: return .train
        }
    }

    /// The objects in words, in raster order: "small red circle, large blue ring".
    public var caption: String { objects.map(\.words).joined(separator: ", ") }
}
