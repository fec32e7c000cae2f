internal import Bytes

extension CLIPImageProcessor {
    /// Sides beyond this are taken for a mistake in the configuration.
    private static let longestSide = 16_384

    /// Types of Hugging Face processors that take exactly these steps.
    private static let knownTypes: Set = [
        "CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPFeatureExtractor", "BitImageProcessor",
    ]

    /// The steps that a `preprocessor_config.json` describes; keys that are absent keep CLIP's values.
    /// - Throws: `ImageError.configuration` for values that are wrong or not supported; none is ignored.
    public init(configuration bytes: [UInt8], file: String = "preprocessor_config.json") throws {
        let object = try JSONObject<ImageError>(bytes, file: file)
        self.init()
        for key in ["image_processor_type", "feature_extractor_type"] {
            _ = try object.value(key, expected: "one of \(Self.knownTypes.sorted().joined(separator: ", "))") {
                if case .string(let name) = $0, Self.knownTypes.contains(name) { name } else { nil }
            }
        }
        doResize = try object.bool("do_resize") ?? doResize
        size = try object.value("size", expected: Self.expectedSize, Self.size) ?? size
        let resample = try object.value("resample", expected: "3 (bicubic)", \.int) ?? 3
        guard resample == 3 || !doResize else { throw object.error("resample", expected: "3 (bicubic)") }
        doCenterCrop = try object.bool("do_center_crop") ?? doCenterCrop
        cropSize = try object.value("crop_size", expected: Self.expectedCrop, Self.cropSize) ?? cropSize
        doRescale = try object.bool("do_rescale") ?? doRescale
        rescaleFactor = try object.value("rescale_factor", expected: "a number", \.double) ?? rescaleFactor
        doNormalize = try object.bool("do_normalize") ?? doNormalize
        imageMean = try object.value("image_mean", expected: "three numbers", Self.channels) ?? imageMean
        imageStd = try object.value("image_std", expected: "three numbers other than 0", Self.channels) ?? imageStd
        guard !imageStd.contains(0) else { throw object.error("image_std", expected: "three numbers other than 0") }
    }

    private static let expectedSize =
        "a whole number in 1...\(longestSide), {\"shortest_edge\": n} or {\"height\": h, \"width\": w}"
    private static let expectedCrop = "a whole number in 1...\(longestSide) or {\"height\": h, \"width\": w}"

    private static func size(_ value: JSONValue) -> Size? {
        if let edge = side(value) { return .shortestEdge(edge) }
        guard case .object(let object) = value else { return nil }
        if object.count == 1, let edge = side(object["shortest_edge"]) { return .shortestEdge(edge) }
        return exactSize(object).map(Size.exact)
    }

    private static func cropSize(_ value: JSONValue) -> ImageSize? {
        if let side = side(value) { return ImageSize(width: side, height: side) }
        guard case .object(let object) = value else { return nil }
        return exactSize(object)
    }

    private static func exactSize(_ object: [String: JSONValue]) -> ImageSize? {
        guard object.count == 2, let width = side(object["width"]), let height = side(object["height"]) else {
            return nil
        }
        return ImageSize(width: width, height: height)
    }

    private static func side(_ value: JSONValue?) -> Int? {
        guard let side = value?.int, (1...longestSide).contains(side) else { return nil }
        return side
    }

    /// Three numbers, or one for all three channels.
    private static func channels(_ value: JSONValue) -> [Double]? {
        if let number = value.double { return [number, number, number] }
        guard case .array(let values) = value, values.count == 3 else { return nil }
        let numbers = values.compactMap(\.double)
        return numbers.count == 3 ? numbers : nil
    }
}
