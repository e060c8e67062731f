// What a machine must have to be a server or a node, looked at before anything is made (upstream:
// kubeadm's preflight checks, whose form and names the lines have).
#pragma once

#include <string>
#include <vector>

#include "base/loop.h"
#include "base/status.h"

namespace keles::machines {

struct Finding {
  Finding() = default;
  Finding(std::string check, std::string what, bool fatal)
      : check(std::move(check)), what(std::move(what)), fatal(fatal) {}
  std::string check;  // "Port-10250"
  std::string what;   // and what to do about it
  bool fatal = true;
};

struct MachineRole {
  MachineRole() = default;
  bool server = false, node = true;
  uint16_t api_port = 6443;
  std::string data_dir = "/var/lib/keles";
  std::string node_name;  // "": the hostname
  Duration port_wait{0};  // a node that is started again: the one before may still be ending
};

// Blocking.
std::vector<Finding> check_machine(const MachineRole& role);

// Of what lies apart from this machine: for tests.
bool is_node_name(const std::string& name);
// "5.10.0-21-amd64" -> {5, 10}.
std::pair<int, int> kernel_version(const std::string& release);

// As kubeadm prints them; an error when one is fatal and not among `ignored` ("all": every one).
Status report_findings(const std::vector<Finding>& found, const std::vector<std::string>& ignored,
                       std::string* text);

}  // namespace keles::machines
