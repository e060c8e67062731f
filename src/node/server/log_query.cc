#include "node/server/log_query.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <tuple>

#include "base/beneath.h"
#include "base/list_text.h"
#include "base/process.h"
#include "machinery/time.h"
#include "machinery/validation.h"

namespace keles::node {
namespace {

constexpr size_t kMaxServices = 4, kMaxServiceName = 256, kMaxPattern = 4096;
constexpr int64_t kMaxTailLines = 100'000;
constexpr Duration kTimeLimit = 30s;
constexpr size_t kMaxOutput = 64u << 20;
constexpr size_t kPiece = 65536;
constexpr std::string_view kFormats[] = {
    "short-precise", "json", "short", "short-unix", "short-iso", "short-iso-precise", "cat"};

bool is_blank(std::string_view s) { return s.find_first_not_of(" \t\r\n") == s.npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<int64_t> integer(std::string_view s) {
  int64_t n = 0;
  if (s.starts_with('+')) s.remove_prefix(1);
  auto r = std::from_chars(s.data(), s.data() + s.size(), n);
  if (s.empty() || r.ec != std::errc() || r.ptr != s.data() + s.size()) return std::nullopt;
  return n;
}

bool is_safe_name(std::string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
           std::string_view("-_.:@").find(c) != std::string_view::npos;
  });
}

// "+5m", "-1d", "90s"; or "2006-1-2 15:4:5".
bool is_date(std::string_view s) {
  if (s.empty()) return true;
  std::string_view relative = s;
  if (relative[0] == '+' || relative[0] == '-') relative.remove_prefix(1);
  const size_t digits = static_cast<size_t>(
      std::find_if_not(relative.begin(), relative.end(), is_digit) - relative.begin());
  if (digits > 0 && digits + 1 == relative.size() &&
      std::string_view("smhd").find(relative.back()) != std::string_view::npos) {
    return true;
  }
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, sec = 0, end = 0;
  const std::string text(s);
  const int n =
      std::sscanf(text.c_str(), "%4d-%2d-%2d %2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &sec, &end);
  return n == 6 && static_cast<size_t>(end) == text.size() && mo >= 1 && mo <= 12 && d >= 1 &&
         d <= 31 && h >= 0 && h < 24 && mi >= 0 && mi < 60 && sec >= 0 && sec < 60;
}

// As journalctl reads it, in UTC: "2026-11-26 20:15:04".
std::string journal_time(WallTime t) {
  std::string s = format_time(t);
  if (const size_t at = s.find('T'); at != s.npos) s[at] = ' ';
  if (s.ends_with('Z')) s.pop_back();
  return s;
}

// A log file, below the directory, no link followed.
Fd open_file(const std::string& root, const std::string& path) {
  auto dir = open_directory(root);
  if (!dir.ok()) return Fd();
  auto fd = open_beneath(*dir, path, O_RDONLY | O_NOCTTY);
  struct stat st {};
  if (!fd.ok() || ::fstat(fd->get(), &st) != 0 || !S_ISREG(st.st_mode)) return Fd();
  return std::move(*fd);
}

bool has_file(const std::string& root, const std::string& path) {
  if (path.find("..") != path.npos || path.find('\0') != path.npos) return false;
  std::string below = "./" + path;
  std::replace(below.begin(), below.end(), '\\', '/');
  auto dir = open_directory(root);
  if (!dir.ok()) return false;
  return open_beneath(*dir, below, O_PATH).ok();
}

void check_services(FieldErrors& e, const LogQuery& q) {
  const FieldPath at("query");
  for (const std::string& s : q.services) {
    if (s.size() > kMaxServiceName) {
      field::invalid(e, at, s, "length must be less than " + std::to_string(kMaxServiceName));
    } else if (!is_safe_name(s)) {
      field::invalid(e, at, s, "input contains unsupported characters");
    }
  }
  if (q.services.size() > kMaxServices) {
    field::too_many(e, at, q.services.size(), kMaxServices);
  }
}

void check_files(FieldErrors& e, const LogQuery& q, const std::string& root) {
  const FieldPath at("query");
  if (q.files.empty()) return;
  const std::string& first = q.files.front();
  if (!q.services.empty()) {
    field::invalid(e, at, first, "cannot specify a file and service");
  } else if (q.files.size() > 1) {
    field::invalid(e, at, first, "cannot specify more than one file");
  } else if (q.has_options()) {
    field::invalid(e, at, first, "cannot specify file with options");
  } else if (!has_file(root, first)) {
    field::invalid(e, at, first, "no such file or directory");
  }
}

Task<Status> copy_file(net::Responder* responder, int fd) {
  struct stat st {};
  off_t left = ::fstat(fd, &st) == 0 ? st.st_size : 0;  // what there was when it was opened
  Status s;
  while (s.ok() && left > 0) {
    std::string piece(std::min(kPiece, static_cast<size_t>(left)), '\0');
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n <= 0) break;
    piece.resize(static_cast<size_t>(n));
    left -= n;
    std::vector<net::SharedBytes> parts = net::as_body(std::move(piece));
    s = co_await responder->write(std::move(parts));
  }
  co_return s;
}

Task<void> write_text(net::Responder* responder, std::string text) {
  std::vector<net::SharedBytes> parts = net::as_body(std::move(text));
  (void)co_await responder->write(std::move(parts));
}

Task<void> copy_service_files(net::Responder* responder, std::vector<std::string> services,
                              std::string root) {
  for (const std::string& service : services) {
    Fd found;
    for (const std::string& name : {service, service + ".log", service + "/" + service + ".log"}) {
      if (!found.open()) found = open_file(root, name);
    }
    if (!found.open()) {
      co_await write_text(responder, "\nlog not found for " + service + "\n");
      continue;
    }
    Status s = co_await copy_file(responder, found.get());
    if (!s.ok()) co_return;
  }
}

Task<Result<ProcessOutput>> journal(Context ctx, std::vector<std::string> arguments) {
  ProcessOptions o;
  o.argv = std::move(arguments);
  o.argv.insert(o.argv.begin(), "journalctl");
  o.max_output_bytes = kMaxOutput;
  auto out = co_await run_process(ctx, std::move(o));
  co_return out;
}

}  // namespace

bool LogQuery::has_options() const {
  return since_time || until_time || tail_lines || boot || !pattern.empty() || !since.empty() ||
         !until.empty() || !format.empty() || case_sensitive;
}

Result<LogQuery> read_log_query(const std::vector<std::pair<std::string, std::string>>& query) {
  LogQuery q;
  FieldErrors e;
  bool asked = false;
  const auto first = [&](std::string_view name, std::string_view other) -> std::string {
    for (std::string_view n : {name, other}) {
      for (const auto& [k, v] : query) {
        if (k == n && !v.empty()) return v;
      }
    }
    return "";
  };
  std::string blank;
  for (const auto& [name, value] : query) {
    if (name != "query" && name != "unit") continue;
    asked = true;
    if (name == "query" && value.find_first_of("/\\") != value.npos) {
      q.files.push_back(value);
    } else if (!is_blank(value)) {
      q.services.push_back(value);
    } else {
      blank = value;
    }
  }
  if (asked && q.files.empty() && q.services.empty()) {
    field::invalid(e, FieldPath("unit"), blank, "unit cannot be empty");
  }
  for (auto [name, to] : {std::pair("sinceTime", &q.since_time), {"untilTime", &q.until_time}}) {
    const std::string text = first(name, name);
    if (text.empty()) continue;
    auto t = parse_time(text);
    if (t.ok()) {
      *to = *t;
    } else {
      field::invalid(e, FieldPath(name), text, "invalid time format");
    }
  }
  for (auto [name, other, to] :
       {std::tuple("boot", "boot", &q.boot), {"tailLines", "tail", &q.tail_lines}}) {
    const std::string text = first(name, other);
    if (text.empty()) continue;
    *to = integer(text);
    if (!*to) {
      field::invalid(e, FieldPath(name), text,
                     "strconv.Atoi: parsing \"" + text + "\": invalid syntax");
    }
  }
  q.pattern = first("pattern", "grep");
  const std::string exact = first("case-sensitive", "case-sensitive");
  q.case_sensitive = !q.pattern.empty() && (exact == "true" || exact == "1");
  q.since = first("since", "since");
  q.until = first("until", "until");
  q.format = first("output", "output");
  if (!e.empty()) return Status::bad_request(aggregate(e));
  return q;
}

Status check_log_query(const LogQuery& q, const std::string& root) {
  FieldErrors e;
  check_services(e, q);
  check_files(e, q, root);
  if (q.since_time && q.until_time && *q.until_time < *q.since_time) {
    field::invalid(e, FieldPath("untilTime"), format_time(*q.until_time),
                   "must be after `sinceTime`");
  }
  if (q.boot.value_or(0) > 0) {
    field::invalid(e, FieldPath("boot"), *q.boot, "must be less than 1");
  }
  if (q.tail_lines && (*q.tail_lines < 0 || *q.tail_lines > kMaxTailLines)) {
    field::invalid(e, FieldPath("tailLines"), *q.tail_lines,
                   "must be between 0 and " + std::to_string(kMaxTailLines) + ", inclusive");
  }
  if (q.pattern.size() > kMaxPattern) {
    field::too_long(e, FieldPath("pattern"), kMaxPattern);
  }
  const bool relative = !q.since.empty() || !q.until.empty();
  for (auto [name, given] : {std::pair("sinceTime", q.since_time.has_value()),
                             {"untilTime", q.until_time.has_value()}}) {
    if (!given || !relative) continue;
    field::forbidden(e, FieldPath(name),
                     "`since or until` and `" + std::string(name) + "` cannot be specified");
  }
  for (auto [name, date] : {std::pair("since", &q.since), {"until", &q.until}}) {
    if (is_date(*date)) continue;
    field::invalid(e, FieldPath(name), *date,
                   "date must be a relative time of the form '(+|-)[0-9]+(s|m|h|d)' or a date in "
                   "'YYYY-MM-DD HH:MM:SS' form");
  }
  if (!q.format.empty() &&
      std::find(std::begin(kFormats), std::end(kFormats), q.format) == std::end(kFormats)) {
    field::not_supported(e, FieldPath("output"), q.format, kFormats);
  }
  if (e.empty()) return {};
  return Status(Reason::kInvalid, aggregate(e));
}

std::vector<std::string> journal_arguments(const LogQuery& q,
                                           const std::vector<std::string>& services) {
  std::vector<std::string> out = {"--utc", "--no-pager"};
  if (!q.since.empty()) {
    out.push_back("--since=" + q.since);
  } else if (q.since_time) {
    out.push_back("--since=" + journal_time(*q.since_time));
  }
  if (!q.until.empty()) {
    out.push_back("--until=" + q.until);
  } else if (q.until_time) {
    out.push_back("--until=" + journal_time(*q.until_time));
  }
  if (q.tail_lines) {
    out.emplace_back("--pager-end");
    out.push_back("--lines=" + std::to_string(*q.tail_lines));
  }
  for (const std::string& s : services) out.push_back("--unit=" + s);
  if (!q.pattern.empty()) {
    out.push_back("--grep=" + q.pattern);
    out.push_back(std::string("--case-sensitive=") + (q.case_sensitive ? "true" : "false"));
  }
  if (q.boot) {
    out.emplace_back("--boot");
    out.push_back(std::to_string(*q.boot));
  }
  out.push_back("--output=" + (q.format.empty() ? "short-precise" : q.format));
  return out;
}

Task<void> serve_service_logs(Context ctx, net::Responder* responder, LogQuery query,
                              std::string root) {
  Context limit = ctx.with_timeout(kTimeLimit);
  net::Headers headers;
  headers.set("Content-Type", "text/plain;charset=UTF-8");
  Status s = co_await responder->begin(200, std::move(headers));
  if (!s.ok()) co_return;
  std::vector<std::string> fields = {"--field", "_SYSTEMD_UNIT"};
  auto units = co_await journal(limit, std::move(fields));
  std::vector<std::string> in_journal, in_files;
  for (const std::string& service : query.services) {
    const bool known = units.ok() && units->exit_code == 0 &&
                       units->out.find(service + ".service") != std::string::npos;
    (known ? in_journal : in_files).push_back(service);
  }
  if (!in_files.empty() && query.has_options()) {
    std::string all;
    for (const std::string& f : in_files) all += (all.empty() ? "" : " ") + f;
    co_await write_text(responder, "\noptions present and query resolved to log files for [" + all +
                                       "]\ntry without specifying options\n");
  } else if (!in_files.empty()) {
    co_await copy_service_files(responder, std::move(in_files), std::move(root));
  } else {
    std::vector<std::string> arguments = journal_arguments(query, in_journal);
    auto out = co_await journal(limit, std::move(arguments));
    std::string text = out.ok() ? out->out + out->err : "\nerror: journal output not available\n";
    co_await write_text(responder, std::move(text));
  }
  (void)co_await responder->finish();
}

}  // namespace keles::node
