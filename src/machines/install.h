// A server or an agent as a service of systemd: the unit, and the file with its flags. Planned
// first (`keles install --dry-run`), then written. Blocking.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace keles::machines {

struct InstallOptions {
  InstallOptions() = default;
  bool server = true;   // else an agent
  std::string root;     // "" : this machine's own
  std::string program;  // in the unit: "/usr/local/bin/keles"
  std::string unit_dir = "/etc/systemd/system";
  std::vector<std::string> flags;  // of the service: "--node", "--server=URL", "--token", "T"
};

struct PlannedFile {
  std::string path;  // with the root
  std::string content;
  int mode = 0644;
  bool keep = false;  // what is there already stays
};

std::string unit_name(bool server);  // "keles-server.service"
std::string unit_text(bool server, const std::string& program);
// The file with the flags, each with its line; comments alone when there are none.
Result<std::string> flag_file_text(bool server, const std::vector<std::string>& flags);
std::string flag_file_path(bool server);  // "/etc/keles/server.yaml"

Result<std::vector<PlannedFile>> plan_install(const InstallOptions& options);
// What uninstalling removes, and is there: units, and with `purge` the files of flags. With root.
std::vector<std::string> plan_uninstall(const std::string& root, bool purge);

// kBadRequest with what to do instead when no systemd runs here. `run`: "/run", for tests.
Status check_systemd(const std::string& run = "/run");

}  // namespace keles::machines
