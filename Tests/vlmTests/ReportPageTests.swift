import Foundation
import TestSupport
import Testing
import VisionEncoder

/// A browser without a window, where there is one.
private struct Browser {
    let path: String

    static let found: Browser? = {
        let directories = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        let candidates = directories.flatMap { directory in
            ["chromium", "chromium-browser", "google-chrome"].map { "\(directory)/\($0)" }
        }
        return candidates.first(where: FileManager.default.isExecutableFile).map { Browser(path: $0) }
    }()

    /// Runs it to its end and gives what it prints.
    func run(_ arguments: [String], in directory: URL) throws -> String {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(filePath: path)
        process.arguments =
            [
                "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files",
                "--user-data-dir=\(directory.appending(path: "browser").path)",
            ] + arguments
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: text, as: UTF8.self)
    }
}

@Suite(.enabled(if: Browser.found != nil, "no Chromium is installed"), .serialized)
struct ReportPageTests {
    private let directory: URL
    private let browser: Browser

    init() throws {
        directory = try Fixtures.temporaryDirectory()
        browser = try #require(Browser.found)
        let run = try vlm(
            "sweep", "--model", TinyModel.path, "--data", "scenes", "--limit", "14", "--out", directory.path,
            "--max-tokens", "6")
        try #require(run.ending == .status(0), "\(run.stderr)")
    }

    /// What a script finds out about a page in a frame of a width: Chromium has no windows as narrow as a telephone.
    private func facts(_ page: String = "report.html", width: Int, _ found: String) throws -> [String] {
        let script = """
            <iframe id=f src="\(page)" style="width:\(width)px;height:900px;border:0"></iframe><p id=o></p><script>
            onload = async () => { const d = f.contentDocument, w = d.documentElement.clientWidth;
              await new Promise(done => setTimeout(done, 200));
              const clipped = [...d.querySelectorAll('h1, h2, h3, p, li, figure, svg, article, img, canvas, input')]
                .filter(e => e.getBoundingClientRect().right > w + 1).length;
              o.textContent = [w, d.documentElement.scrollWidth, clipped, \(found)].join(' '); }
            </script>
            """
        let frame = directory.appending(path: "frame.html")
        try Data("<!doctype html><body style=\"margin:0\">\(script)".utf8).write(to: frame)
        let page = try browser.run(
            ["--virtual-time-budget=5000", "--window-size=\(max(width, 500)),900", "--dump-dom", frame.absoluteString],
            in: directory)
        let text = try #require(page.firstMatch(of: #/<p id="o">([^<]*)/#)).1
        return text.split(separator: " ").map(String.init)
    }

    @Test(
        "plots, tables and questions are there and nothing overflows, on a wide page and on a telephone's",
        arguments: [1280, 400])
    func layout(width: Int) throws {
        // Seven budgets: five plots, a row in each of two tables and the most frequent answers, a dozen questions.
        let found = """
            [...d.querySelectorAll('figure svg')].filter(e => e.getBoundingClientRect().width < 300).length,
            [...d.images].filter(e => !e.naturalWidth).length, d.querySelectorAll('figure svg circle').length,
            d.querySelectorAll('tbody tr').length, d.querySelectorAll('article').length
            """
        #expect(try facts(width: width, found) == ["\(width)", "\(width)", "0", "0", "0", "35", "15", "12"])
    }

    @Test(
        "an explanation draws its maps, changes them with its sliders, and nothing overflows", arguments: [1280, 400])
    func explanation(width: Int) throws {
        let run = try vlm(
            "ask", "--model", TinyModel.path, "--max-tokens", "4", "--explain",
            directory.appending(path: "why.html").path, "--image", Pictures.png, "what is it?")
        try #require(run.ending == .status(0), "\(run.stderr)")
        let found = """
            ...['tokens', 'layers'].map(id => {
              const canvas = d.getElementById(id), slider = d.getElementById(id + '-slider');
              const before = canvas.toDataURL() + d.getElementById(id + '-label').textContent;
              slider.value = slider.max;
              slider.dispatchEvent(new Event('input'));
              const isDrawn = canvas.getContext('2d').getImageData(0, 0, 1, 1).data[3] == 255;
              return isDrawn && before != canvas.toDataURL() + d.getElementById(id + '-label').textContent; })
            """
        #expect(
            try facts("why.html", width: width, found) == ["\(width)", "\(width)", "0", "true", "true"])
    }

    @Test("the page follows the reader's scheme, and what is drawn stands out in both")
    func schemes() throws {
        var lightness: [Double] = []
        for scheme in ["1", "0"] {
            let path = directory.appending(path: "page\(scheme).png").path
            _ = try browser.run(
                [
                    "--window-size=1280,1200", "--blink-settings=preferredColorScheme=\(scheme)",
                    "--screenshot=\(path)",
                    directory.appending(path: "report.html").absoluteString,
                ], in: directory)
            let page = try RGBImage(contentsOf: path)
            #expect(page.width == 1280)
            lightness.append(page.pixels.reduce(0.0) { $0 + Double($1) } / Double(page.pixels.count))
            let background = Int(page.pixels[0])
            let inked = stride(from: 0, to: page.pixels.count, by: 3).count {
                abs(Int(page.pixels[$0]) - background) > 100
            }
            #expect(inked > page.pixels.count / 3 / 200, "\(inked)")
        }
        #expect(lightness[0] > 200 && lightness[1] < 60, "\(lightness)")
    }
}
