// The plot of bench_report.h: an SVG of its own size, axes from zero.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "cli/bench_report.h"

namespace quern::cli {
namespace {

constexpr double kWidth = 760, kHeight = 420, kLeft = 70, kRight = 190, kTop = 46, kBottom = 56;
constexpr const char* kColours[] = {"#1f6feb", "#d1603d", "#2b8a3e", "#8250df", "#b08800", "#0b7285"};
constexpr int kTicks = 5;

struct Point {
  double depth, speed;
};

// The least of 1, 2, 2.5 or 5 times a power of ten that is not below value.
double RoundUp(double value) {
  if (value <= 0) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 2.5, 5.0}) {
    if (value <= step * power * (1 + 1e-9)) return step * power;
  }
  return 10 * power;
}

std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<' || c == '>' || c == '&') {
      out += fmt::format("&#{};", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out;
}

std::map<std::string, std::vector<Point>> LinesOf(std::span<const BenchRow> rows) {
  std::map<std::string, std::vector<Point>> lines;
  for (const BenchRow& row : rows) {
    std::string name = row.test.Name();
    if (row.test.batch > 1) name += fmt::format(", {} sequences", row.test.batch);
    name += fmt::format(", {} threads", row.test.threads);
    lines[name].push_back({static_cast<double>(row.test.depth), row.TokensPerSecond()});
  }
  for (auto& [name, points] : lines) std::ranges::sort(points, {}, &Point::depth);
  return lines;
}

class Axes {
 public:
  Axes(double x_max, double y_max) : x_max_(x_max), y_max_(y_max) {}
  double X(double value) const { return kLeft + value / x_max_ * (kWidth - kLeft - kRight); }
  double Y(double value) const { return kHeight - kBottom - value / y_max_ * (kHeight - kTop - kBottom); }

  std::string Draw() const {
    std::string out;
    for (int i = 0; i <= kTicks; ++i) {
      const double x = x_max_ * i / kTicks, y = y_max_ * i / kTicks;
      out += fmt::format("<line x1='{0}' x2='{1}' y1='{2:.1f}' y2='{2:.1f}' stroke='#ddd'/>", kLeft, kWidth - kRight,
                         Y(y));
      out += fmt::format("<text x='{}' y='{:.1f}' text-anchor='end'>{:.4g}</text>", kLeft - 8, Y(y) + 4, y);
      out +=
          fmt::format("<text x='{:.1f}' y='{}' text-anchor='middle'>{:.0f}</text>\n", X(x), kHeight - kBottom + 20, x);
    }
    return out;
  }

 private:
  double x_max_, y_max_;
};

}  // namespace

std::string BenchPlot(std::span<const BenchRow> rows, const std::string& model_name) {
  const auto lines = LinesOf(rows);
  double x_max = 0, y_max = 0;
  for (const auto& [name, points] : lines) {
    for (const Point& point : points) {
      x_max = std::max(x_max, point.depth);
      y_max = std::max(y_max, point.speed);
    }
  }
  const Axes axes(x_max > 0 ? x_max : 1, RoundUp(y_max));
  std::string out = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {0} {1}' font-family='sans-serif' font-size='12'>\n"
      "<rect width='{0}' height='{1}' fill='white'/>\n<text x='{2}' y='26' font-size='15'>{3}: tokens per second over "
      "depth</text>\n{4}<text x='{5}' y='{6}' text-anchor='middle'>tokens held before the test</text>\n",
      kWidth, kHeight, kLeft, Escaped(model_name), axes.Draw(), (kLeft + kWidth - kRight) / 2, kHeight - 12);
  size_t n = 0;
  for (const auto& [name, points] : lines) {
    const char* colour = kColours[n % std::size(kColours)];
    std::string path;
    for (const Point& point : points) {
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", axes.X(point.depth), axes.Y(point.speed));
      out += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='3' fill='{}'/>", axes.X(point.depth), axes.Y(point.speed),
                         colour);
    }
    const double y = kTop + 18.0 * static_cast<double>(n);
    out += fmt::format("<path d='{}' fill='none' stroke='{}' stroke-width='2'/>", path, colour);
    out += fmt::format("<text x='{}' y='{}' fill='{}'>{}</text>\n", kWidth - kRight + 12, y, colour, Escaped(name));
    ++n;
  }
  return out + "</svg>\n";
}

}  // namespace quern::cli
