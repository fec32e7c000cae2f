internal import Bytes

extension ImageProcessing {
    /// The keys of `config.json` that choose it.
    public static let keys: Set<String> = ["image_aspect_ratio", "image_grid_pinpoints"]

    /// The way that a model's `config.json` asks for by `image_aspect_ratio` and `image_grid_pinpoints`.
    ///
    /// Without `image_aspect_ratio` pictures are not padded, as in LLaVA. Values that LLaVA 1.2.2 does not know, which
    /// it would silently treat as "square", are an error.
    /// - Throws: `ImageError.configuration`.
    public init(configuration bytes: [UInt8], file: String = "config.json") throws {
        let object = try JSONObject<ImageError>(bytes, file: file)
        let key = "image_aspect_ratio"
        switch object[key] {
        case nil, .string("square"): self = .square
        case .string("pad"): self = .pad
        case .string("anyres"):
            let expected = "a list of [width, height]"
            guard let pinpoints = try object.value("image_grid_pinpoints", expected: expected, Self.pinpoints) else {
                throw object.error("image_grid_pinpoints", expected: expected)
            }
            self = .anyResolution(pinpoints: pinpoints)
        default: throw object.error(key, expected: "\"square\", \"pad\" or \"anyres\"")
        }
    }

    /// Pinpoints given as a list, or as a string that holds a list the way Python writes it.
    static func pinpoints(_ value: JSONValue) -> [ImageSize]? {
        switch value {
        case .array(let pairs):
            let sizes = pairs.compactMap(pinpoint)
            return sizes.count == pairs.count && !sizes.isEmpty ? sizes : nil
        case .string(let text):
            let json = text.map { $0 == "(" ? "[" : $0 == ")" ? "]" : $0 }.filter { !$0.isWhitespace }
            let list = Array(String(json).replacing(",]", with: "]").utf8)
            guard let list = try? JSONParser.value(of: list), case .array = list else { return nil }
            return pinpoints(list)
        default: return nil
        }
    }

    private static func pinpoint(_ value: JSONValue) -> ImageSize? {
        guard case .array(let pair) = value, pair.count == 2, let width = pair[0].int, let height = pair[1].int,
            (1...RGBImage.sideLimit).contains(width), (1...RGBImage.sideLimit).contains(height)
        else { return nil }
        return ImageSize(width: width, height: height)
    }
}
