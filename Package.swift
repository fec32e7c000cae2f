// swift-tools-version: 6.2
import PackageDescription

// Warnings are errors where the project is tested, not where somebody builds it with a newer compiler.
let isStrict = Context.environment["CI"] != nil

let swiftSettings: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
    ] + (isStrict ? [.treatAllWarnings(as: .error)] : [])

let cSettings: [CSetting] = isStrict ? [.treatAllWarnings(as: .error)] : []

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], excluding files: [String] = []) -> Target {
    .testTarget(
        name: name, dependencies: dependencies + ["Bytes", "TestSupport"], exclude: files, swiftSettings: swiftSettings)
}

let package = Package(
    name: "vlm",
    products: [
        .executable(name: "vlm", targets: ["vlm"]),
        .library(name: "LLaVAPipeline", targets: ["LLaVAPipeline"]),
        .library(name: "Training", targets: ["Training"]),
        .library(name: "Evaluation", targets: ["Evaluation"]),
        // What Benchmarks/ times.
        .library(name: "Kernels", targets: ["CKernels", "NeuralNetwork", "Tensors", "VisionEncoder"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-numerics", from: "1.1.0"),
    ],
    targets: [
        // Lower to higher; nothing imports upward (docs/reading-order.md).
        .target(
            name: "CKernels",
            cSettings: cSettings,
            linkerSettings: [.linkedLibrary("m")]),
        .target(
            name: "CImageCodecs",
            cSettings: cSettings,
            linkerSettings: [.linkedLibrary("png"), .linkedLibrary("jpeg")]),
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        library("Bytes", []),
        library("Tensors", ["CKernels"]),
        library("NeuralNetwork", ["CKernels", "Tensors"]),
        library("ModelFiles", ["Bytes", "CCrypto", "Tensors"]),
        library("Tokenization", ["Bytes"]),
        library("VisionEncoder", ["Bytes", "CImageCodecs", "CKernels", "NeuralNetwork", "Tensors"]),
        library("MQT", ["NeuralNetwork", "Tensors"]),
        library("LanguageDecoder", ["NeuralNetwork", "Tensors"]),
        library("PMoD", ["LanguageDecoder", "NeuralNetwork", "Tensors"]),
        library(
            "LLaVAPipeline",
            [
                "Bytes", "LanguageDecoder", "ModelFiles", "MQT", "NeuralNetwork", "PMoD", "Tensors", "Tokenization",
                "VisionEncoder",
            ]),
        library(
            "Training",
            [
                "Bytes", "CZlib", "LanguageDecoder", "LLaVAPipeline", "ModelFiles", "MQT", "NeuralNetwork", "PMoD",
                "Tensors",
                "Tokenization", "VisionEncoder",
            ]),
        library(
            "Evaluation",
            [
                "LanguageDecoder", "LLaVAPipeline", "ModelFiles", "MQT", "NeuralNetwork", "PMoD", "Tensors",
                "Tokenization", "Training",
                "VisionEncoder",
            ]),
        .executableTarget(
            name: "vlm",
            dependencies: [
                "Bytes", "Evaluation", "LanguageDecoder", "LLaVAPipeline", "ModelFiles", "MQT", "NeuralNetwork",
                "PMoD", "Tensors",
                "Tokenization", "Training", "VisionEncoder",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings),

        .target(
            name: "TestSupport",
            dependencies: ["Bytes", "ModelFiles", "Tensors"],
            path: "Tests/TestSupport",
            swiftSettings: swiftSettings),
        // The readers of files from outside as the fuzzer and the tests of damaged files call them (Fuzz/README.md).
        .target(
            name: "FuzzTargets",
            dependencies: [
                "LanguageDecoder", "LLaVAPipeline", "ModelFiles", "PMoD", "Tensors", "TestSupport", "Tokenization",
                "VisionEncoder",
            ],
            path: "Fuzz/Targets",
            swiftSettings: swiftSettings),
        tests("CKernelsTests", ["CKernels", "Tensors", .product(name: "Numerics", package: "swift-numerics")]),
        tests("TensorsTests", ["Tensors", .product(name: "Numerics", package: "swift-numerics")]),
        tests("NeuralNetworkTests", ["NeuralNetwork"]),
        tests("ModelFilesTests", ["ModelFiles"]),
        tests("TokenizationTests", ["Tokenization"]),
        tests("VisionEncoderTests", ["VisionEncoder"]),
        tests("MQTTests", ["MQT"]),
        tests("LanguageDecoderTests", ["LanguageDecoder"]),
        tests("PMoDTests", ["PMoD"]),
        tests("LLaVAPipelineTests", ["LLaVAPipeline"]),
        tests("TrainingTests", ["Training"]),
        tests("EvaluationTests", ["Evaluation"]),
        tests("GoldenTests", ["LLaVAPipeline"]),
        tests("FuzzTests", ["FuzzTargets"]),
        tests("vlmTests", ["vlm"], excluding: ["Snapshots"]),
    ]
)

// libFuzzer brings its own main, so the driver links only when it is built with it: scripts/fuzz does.
if Context.environment["VLM_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(name: "fuzz", dependencies: ["FuzzTargets"], path: "Fuzz/Driver", cSettings: cSettings))
}
