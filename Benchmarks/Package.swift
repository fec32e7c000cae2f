// swift-tools-version: 6.2
import PackageDescription

// Kernels against those of OpenBLAS and oneDNN in one process. A package of its own, so that nobody else needs theirs:
//
//     apt-get install libdnnl-dev libopenblas0-pthread
//     swift run -c release --package-path Benchmarks kernel-peers
//
// libdnnl-dev 2.6 is linked; OpenBLAS is loaded at run time, told to take its AVX-512 kernels before. peers/kernels.py times
// PyTorch and ONNX Runtime in turns with the same program.
let package = Package(
    name: "Benchmarks",
    dependencies: [
        .package(name: "vlm", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    ],
    targets: [
        .target(name: "COneDNN", linkerSettings: [.linkedLibrary("dnnl")]),
        .executableTarget(
            name: "kernel-peers",
            dependencies: [
                "COneDNN",
                .product(name: "Kernels", package: "vlm"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("InternalImportsByDefault"),
            ]),
    ]
)
