package report

import (
	"fmt"
	"html"
	"strings"
)

// Bar is one line of a chart.
type Bar struct {
	Name            string
	Value, Min, Max float64 // the median and its spread
	Label           string  // what stands behind the bar
	Ours            bool
}

// Chart is a chart of horizontal bars from zero on, whose longest Max fills the width.
type Chart struct {
	Title string
	Text  string // what the chart tells, for those who do not see it; each bar is added to it
	Bars  []Bar
}

// The measures of a chart, in pixels.
const (
	chartWidth = 760
	nameWidth  = 250
	barWidth   = 330
	barHeight  = 18
	rowHeight  = 28
	headHeight = 44
)

// style follows the reader's choice of light or dark. The colours of texts have a
// contrast of more than 4.5 on both of GitHub's pages, those of bars more than 3.
const style = `text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:15px}` +
	`.ours{fill:#1a7f37}.peer{fill:#6e7781}.spread{stroke:#1f2328;stroke-width:1.5}` +
	`@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ours{fill:#3fb950}.peer{fill:#8b949e}.spread{stroke:#e6edf3}}`

// SVG draws the chart. Every value stands beside its bar as text.
func (c Chart) SVG() string {
	top := 0.0
	for _, bar := range c.Bars {
		top = max(top, bar.Value, bar.Max)
	}
	if top <= 0 {
		top = 1
	}
	told := c.Text
	for _, bar := range c.Bars {
		told += fmt.Sprintf(" %s: %s.", bar.Name, bar.Label)
	}
	height := headHeight + rowHeight*len(c.Bars) + 8
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t d">`+"\n",
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(&b, "<title id=\"t\">%s</title>\n<desc id=\"d\">%s</desc>\n<style>%s</style>\n",
		html.EscapeString(c.Title), html.EscapeString(strings.TrimSpace(told)), style)
	fmt.Fprintf(&b, "<text class=\"title\" x=\"8\" y=\"24\">%s</text>\n", html.EscapeString(c.Title))
	for i, bar := range c.Bars {
		c.row(&b, i, bar, barWidth/top)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// row draws a bar; scale is pixels for one.
func (c Chart) row(b *strings.Builder, i int, bar Bar, scale float64) {
	class := "peer"
	if bar.Ours {
		class = "ours"
	}
	y := headHeight + rowHeight*i
	middle := y + barHeight/2
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", nameWidth-10, y+14, html.EscapeString(bar.Name))
	fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>\n", class, nameWidth, y, max(1, bar.Value*scale), barHeight)
	if bar.Max > bar.Min {
		fmt.Fprintf(b, "<line class=\"spread\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n",
			nameWidth+bar.Min*scale, middle, nameWidth+bar.Max*scale, middle)
	}
	fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", nameWidth+max(bar.Value, bar.Max)*scale+8, y+14, html.EscapeString(bar.Label))
}
