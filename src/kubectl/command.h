// A command of kubectl: its place in the table, and what it is given to run with. Commands are
// plain functions that wait for the cluster through Session; nothing runs beside them unless they
// ask.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/flags.h"
#include "base/status.h"
#include "kubectl/errors.h"
#include "kubectl/session.h"

namespace keles::kubectl {

using Args = std::vector<std::string>;

class Invocation;

struct Command {
  const char* name;            // "get", "create deployment"
  const char* help;            // one line
  const char* usage;           // what follows the name
  Status (*run)(Invocation&);  // null: a family ("create", when it does nothing by itself)
};

// In the order of the help text; ends with a null name. Defined in commands.cc.
extern const Command kCommands[];

class Invocation {
 public:
  Invocation(const Command& command, Args words);

  // Add a command's own flags, then parse(). An answer that is not OK ends the command.
  Flags flags;
  Status parse();
  Args args;

  // Opened when first asked for.
  Result<Session*> session();
  const ConnectionFlags& connection() const { return connection_; }
  const Command& command() const { return command_; }

  // An error of usage, with kubectl's hint to --help.
  Status usage(std::string message) const;

 private:
  const Command& command_;
  Args words_;
  ConnectionFlags connection_;
  std::unique_ptr<Session> session_;
};

// Runs what `args` say (without the program's name); the process's exit code.
int run(const Args& args);

void print(std::string_view text);        // standard output
void print_error(std::string_view text);  // standard error

}  // namespace keles::kubectl
