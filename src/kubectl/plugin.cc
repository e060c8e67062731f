#include "kubectl/plugin.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>

#include "base/encoding.h"
#include "base/file.h"
#include "base/text_parts.h"
#include "kubectl/verbs.h"

namespace keles::kubectl {
namespace {

constexpr std::string_view kPrefix = "kubectl-";

// The directories of PATH, each once.
std::vector<std::string> path_directories() {
  const char* path = std::getenv("PATH");
  std::vector<std::string> out;
  for (std::string_view one : split_list(path ? path : "", ':')) {
    if (one.empty() || std::find(out.begin(), out.end(), one) != out.end()) continue;
    out.emplace_back(one);
  }
  return out;
}

bool is_program(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0;
}

std::string find_program(const std::string& name) {
  for (const std::string& directory : path_directories()) {
    std::string path = directory + "/" + name;
    if (is_program(path)) return path;
  }
  return "";
}

Status replace_process(const std::string& program, const Args& rest) {
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& a : rest) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  return plain_failure("Error: fork/exec " + program + ": " + strerror(errno));
}

// The command that a plug-in's name is in the way of; "" when there is none.
std::string overwritten(std::string_view file) {
  std::string words(file.substr(kPrefix.size())), found;
  std::replace(words.begin(), words.end(), '-', ' ');
  for (const Command* c = kCommands; c->name; ++c) {
    std::string_view name = c->name;
    bool same = words == name || (words.starts_with(name) && words[name.size()] == ' ');
    if (same && name.size() > found.size()) found = name;
  }
  return found;
}

// What is wrong with the plug-in, a line each.
std::vector<std::string> warnings_of(const std::string& path, const std::string& file,
                                     std::map<std::string, std::string>* seen) {
  std::vector<std::string> out;
  if (!is_program(path)) {
    out.push_back("warning: " + path + " identified as a kubectl plugin, but it is not executable");
  }
  auto [at, first] = seen->emplace(file, path);
  if (!first) {
    out.push_back("warning: " + path +
                  " is overshadowed by a similarly named plugin: " + at->second);
  }
  std::string command = overwritten(file);
  if (!command.empty()) {
    out.push_back("warning: " + file +
                  " overwrites existing command: " + quoted("kubectl " + command));
  }
  return out;
}

}  // namespace

Status run_plugin(const Args& args, size_t least) {
  std::vector<std::string> words;
  for (const std::string& a : args) {
    if (a.starts_with('-')) break;
    words.push_back(a);
    std::replace(words.back().begin(), words.back().end(), '-', '_');
  }
  if (words.empty()) {
    return plain_failure("Error: flags cannot be placed before plugin name: " + args[0]);
  }
  for (; words.size() >= least && !words.empty(); words.pop_back()) {
    std::string name = "kubectl";
    for (const std::string& w : words) name += "-" + w;
    // A word that holds a '/' names no program on PATH.
    std::string program = name.find('/') == name.npos ? find_program(name) : "";
    if (program.empty()) continue;
    return replace_process(program,
                           Args(args.begin() + static_cast<long>(words.size()), args.end()));
  }
  return Status();
}

Status plugin_list(Invocation& in) {
  bool name_only = false;
  in.flags.add("name-only", &name_only,
               "If true, display only the binary name of each plugin, rather than its full path");
  TRY(in.parse());
  std::vector<std::pair<std::string, std::string>> plugins;  // path, name
  for (const std::string& directory : path_directories()) {
    Result<std::vector<std::string>> files = list_directory(directory);
    if (!files.ok()) {
      std::string why = files.status().is(Reason::kNotFound) ? "no such file or directory"
                                                             : files.status().message();
      print_error("Unable to read directory " + quoted(directory) + " from your PATH: open " +
                  directory + ": " + why + ". Skipping...\n");
      continue;
    }
    for (const std::string& file : *files) {
      struct stat st {};
      std::string path = directory + (directory.ends_with('/') ? "" : "/") + file;
      if (!file.starts_with(kPrefix) || ::lstat(path.c_str(), &st) < 0 || S_ISDIR(st.st_mode)) {
        continue;
      }
      plugins.emplace_back(path, file);
    }
  }
  std::string errors;
  if (plugins.empty()) {
    errors = "error: unable to find any kubectl plugins in your PATH\n";
  } else {
    print("The following compatible plugins are available:\n\n");
  }
  size_t warned = 0;
  std::map<std::string, std::string> seen;
  for (const auto& [path, file] : plugins) {
    print((name_only ? file : path) + "\n");
    for (const std::string& w : warnings_of(path, file, &seen)) {
      print_error("  - " + w + "\n");
      ++warned;
    }
  }
  if (warned == 1) errors += "error: one plugin warning was found\n";
  if (warned > 1) errors += "error: " + std::to_string(warned) + " plugin warnings were found\n";
  return errors.empty() ? Status() : plain_failure(errors);
}

}  // namespace keles::kubectl
