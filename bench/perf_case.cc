#include "bench/perf_case.h"

#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <utility>

#include "base/file.h"
#include "machinery/codec_yaml.h"

namespace keles::bench {
namespace {

[[noreturn]] void give_up(const std::string& why) {
  fprintf(stderr, "schedule_perf: %s\n", why.c_str());
  exit(1);
}

std::string read_or_end(const std::string& path) {
  Result<std::string> text = read_file(path);
  if (!text.ok()) give_up(text.status().to_string());
  return *text;
}

int64_t operand(const std::string& word, int64_t index, int64_t count) {
  if (word == ".Index") return index;
  if (word == ".Count") return count;
  return atoll(word.c_str());
}

std::string evaluate(const std::string& action, int64_t index, int64_t count) {
  std::istringstream in(action);
  std::vector<std::string> words;
  for (std::string w; in >> w;) words.push_back(w);
  auto at = [&](size_t i) { return operand(words[i], index, count); };
  if (words.size() == 1) return std::to_string(at(0));
  if (words.size() == 3 && words[0] == "Mod") return std::to_string(at(1) % at(2));
  if (words.size() == 3 && words[0] == "DivideInt") return std::to_string(at(1) / at(2));
  if (words.size() == 3 && words[0] == "AddInt") return std::to_string(at(1) + at(2));
  if (words.size() == 3 && words[0] == "MultiplyInt") return std::to_string(at(1) * at(2));
  give_up("template action not known: " + action);
}

}  // namespace

int64_t PerfCase::count(const Value& op, int64_t otherwise) const {
  const std::string_view name = op["countParam"].as_string();
  if (!name.empty()) return workload["params"][name.substr(1)].as_int();
  return op["count"].is_null() ? otherwise : op["count"].as_int();
}

std::string PerfCase::text(const Value& op, std::string_view field) const {
  const std::string_view path = op[field].as_string();
  return path.empty() ? "" : read_or_end(folder + "/" + std::string(path));
}

std::vector<PerfCase> find_cases(const std::string& folder, std::string_view what) {
  namespace fs = std::filesystem;
  std::vector<std::string> folders;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (fs::exists(entry.path() / "performance-config.yaml")) folders.push_back(entry.path());
  }
  if (error) give_up(folder + ": " + error.message());
  std::sort(folders.begin(), folders.end());
  std::vector<PerfCase> out;
  for (const std::string& at : folders) {
    auto d = parse_yaml(read_or_end(at + "/performance-config.yaml"));
    if (!d.ok()) give_up(at + ": " + d.status().to_string());
    auto file = std::make_shared<const Document>(std::move(*d));
    for (const Value& test : file->root.items()) {
      for (const Value& workload : test["workloads"].items()) {
        PerfCase c;
        c.name =
            std::string(test["name"].as_string()) + "/" + std::string(workload["name"].as_string());
        if (c.name.find(what) == std::string::npos) continue;
        c.folder = at;
        c.threshold = workload["threshold"].as_double();
        c.file = file;
        c.test = test;
        c.workload = workload;
        out.push_back(std::move(c));
      }
    }
  }
  return out;
}

std::string render(const std::string& text, int64_t index, int64_t count) {
  std::string out;
  size_t from = 0;
  for (size_t open; (open = text.find("{{", from)) != std::string::npos;) {
    const size_t close = text.find("}}", open);
    if (close == std::string::npos) break;
    out += text.substr(from, open - from);
    out += evaluate(text.substr(open + 2, close - open - 2), index, count);
    from = close + 2;
  }
  return out + text.substr(from);
}

Document parse_object(const std::string& yaml) {
  auto d = parse_yaml(yaml);
  if (!d.ok()) give_up(d.status().to_string() + "\n" + yaml);
  return std::move(*d);
}

}  // namespace keles::bench
