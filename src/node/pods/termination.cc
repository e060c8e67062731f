#include "node/pods/termination.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/beneath.h"
#include "node/logs/cri_log.h"
#include "node/pods/labels.h"

namespace keles::node {
namespace {

std::string read_tail(const std::string& directory, const std::string& path) {
  if (!path.starts_with(directory + "/")) return "";
  auto dir = open_directory(directory);
  if (!dir.ok()) return "";
  auto file = open_beneath(*dir, path.substr(directory.size() + 1), O_RDONLY);
  struct stat st {};
  if (!file.ok() || fstat(file->get(), &st) != 0 || !S_ISREG(st.st_mode)) return "";
  size_t size = std::min(kMaxTerminationMessage, static_cast<size_t>(st.st_size));
  std::string text(size, '\0');
  ssize_t n = pread(file->get(), text.data(), size, st.st_size - static_cast<off_t>(size));
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

std::string annotation(const cri::Container& c, const char* key) {
  auto it = c.annotations.find(key);
  return it == c.annotations.end() ? std::string() : it->second;
}

}  // namespace

Status make_termination_file(const std::string& pod_directory, const std::string& below) {
  TRY_ASSIGN(pod, open_directory(pod_directory));
  size_t slash = below.rfind('/');
  TRY_ASSIGN(dir, make_directories_beneath(pod, below.substr(0, slash)));
  std::string name = below.substr(slash + 1);
  TRY(remove_file_beneath(dir, name));
  return create_file_beneath(dir, name, "", 0666);
}

std::string termination_message(const std::string& pod_directory, const cri::Container& c) {
  std::string message = read_tail(pod_directory, annotation(c, kTerminationFileAnnotation));
  bool look_at_log = message.empty() && c.exit_code != 0 &&
                     annotation(c, kTerminationPolicyAnnotation) == "FallbackToLogsOnError";
  if (!look_at_log) return message;
  return last_log_lines(c.log_path, kMaxTerminationLogLines, kMaxTerminationLogBytes);
}

}  // namespace keles::node
