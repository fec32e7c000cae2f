import Testing

@testable import VisionEncoder

@Suite("Reading preprocessor_config.json and config.json")
struct ImagesConfigurationTests {
    static func processor(_ json: String) throws -> CLIPImageProcessor {
        try CLIPImageProcessor(configuration: Array(json.utf8))
    }

    @Test("absent keys are CLIP's own values")
    func defaults() throws {
        let processor = try Self.processor("{}")
        #expect(processor == CLIPImageProcessor())
        #expect(processor.size == .shortestEdge(224) && processor.cropSize == ImageSize(width: 224, height: 224))
        #expect(try Self.processor(#"{"size": null, "crop_size": null, "image_mean": null}"#) == processor)
    }

    @Test("CLIP ViT-L/14-336's file is read in both of its styles")
    func styles() throws {
        let rest = """
            "do_center_crop": true, "do_normalize": true, "do_resize": true, "resample": 3,
            "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711]
            """
        let old = try Self.processor(#"{"size": 336, "crop_size": 336, \#(rest)}"#)
        let new = try Self.processor(
            #"{"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}, "do_rescale": true, "#
                + #""rescale_factor": 0.00392156862745098, "image_processor_type": "CLIPImageProcessor", \#(rest)}"#)
        #expect(old == new && old == CLIPImageProcessor(side: 336))
    }

    @Test("every key is taken over")
    func everyKey() throws {
        let processor = try Self.processor(
            """
            {"size": {"height": 10, "width": 20}, "crop_size": {"height": 8, "width": 6}, "do_resize": false,
             "do_center_crop": false, "do_rescale": false, "do_normalize": false, "rescale_factor": 0.5,
             "image_mean": [0.1, 0.2, 0.3], "image_std": 0.5, "resample": 2}
            """)
        #expect(processor.size == .exact(ImageSize(width: 20, height: 10)))
        #expect(processor.cropSize == ImageSize(width: 6, height: 8))
        #expect(!processor.doResize && !processor.doCenterCrop && !processor.doRescale && !processor.doNormalize)
        #expect(processor.rescaleFactor == 0.5 && processor.imageMean == [0.1, 0.2, 0.3])
        #expect(processor.imageStd == [0.5, 0.5, 0.5])
    }

    @Test(
        "what is not supported is refused by key and value",
        arguments: [
            ("resample", "2"), ("resample", "\"bicubic\""), ("size", "0"), ("size", "-5"), ("size", "1.5"),
            ("size", "1000000"), ("size", "\"336\""), ("size", "{\"longest_edge\": 5}"), ("size", "{\"height\": 5}"),
            ("size", "{\"shortest_edge\": 5, \"longest_edge\": 9}"), ("crop_size", "{\"shortest_edge\": 5}"),
            ("do_resize", "1"), ("do_normalize", "\"true\""), ("image_mean", "[1, 2]"), ("image_mean", "[1, 2, \"3\"]"),
            ("image_std", "[1, 0, 1]"), ("rescale_factor", "[]"), ("image_processor_type", "\"SiglipImageProcessor\""),
        ])
    func refused(key: String, value: String) throws {
        let error = #expect(throws: ImageError.self) { try Self.processor("{\"\(key)\": \(value)}") }
        let text = "\(try #require(error))"
        #expect(text.contains(key) && text.contains("preprocessor_config.json"))
    }

    @Test("a file that is not a JSON object is refused", arguments: ["", "[", "[1]", "7", "{\"a\": }", "\u{0}"])
    func notJSON(text: String) {
        #expect(throws: ImageError.self) { try Self.processor(text) }
        #expect(throws: ImageError.self) { try ImageProcessing(configuration: Array(text.utf8)) }
    }

    @Test("image_aspect_ratio chooses the way; one that is unknown is an error, not a square")
    func aspectRatio() throws {
        func mode(_ json: String) throws -> ImageProcessing { try ImageProcessing(configuration: Array(json.utf8)) }
        #expect(try mode("{}") == .square)
        #expect(try mode(#"{"image_aspect_ratio": null}"#) == .square)
        #expect(try mode(#"{"image_aspect_ratio": "square"}"#) == .square)
        #expect(try mode(#"{"image_aspect_ratio": "pad", "image_grid_pinpoints": null}"#) == .pad)
        let error = #expect(throws: ImageError.self) { try mode(#"{"image_aspect_ratio": "anyres_max_9"}"#) }
        #expect("\(try #require(error))".contains("anyres_max_9"))
    }

    @Test("tiles need a processor that leaves them as they are")
    func tilesNeedSquareCrop() throws {
        var processor = CLIPImageProcessor(side: 48)
        processor.cropSize.width = 40
        let image = RGBImage(width: 2, height: 2, pixels: .init(repeating: 0, count: 12))
        let mode = ImageProcessing.anyResolution(pinpoints: [ImageSize(width: 48, height: 96)])
        #expect(throws: ImageError.self) { try mode(image, with: processor) }
    }
}
