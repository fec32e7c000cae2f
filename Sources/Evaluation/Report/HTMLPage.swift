/// A page that needs nothing else.
enum HTMLPage {
    /// The page.
    /// - Parameters:
    ///   - title: text, not HTML.
    ///   - style: rules beside those of drawings.
    ///   - body: HTML.
    ///   - script: what runs when all of it is there.
    static func text(title: String, style: String, body: String, script: String? = nil) -> String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>\(title.escaped)</title>
        <style>
        \(Plot.style)
        \(style)
        </style>
        </head>
        <body>
        <main>
        \(body)
        </main>
        \(script.map { "<script>\n\($0)\n</script>" } ?? "")
        </body>
        </html>

        """
    }
}
