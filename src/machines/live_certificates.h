// The certificates of a program that serves for years: their files are looked at, and what is
// renewed (by `keles certs renew`, by an operator, by the program itself) is taken into use.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"

namespace keles::machines {

// Calls `take` when one of the files has changed (looked at every two seconds), and once an hour,
// since certificates end by themselves; again at the next look when it fails. Without files the
// hours count alone. Until ctx ends.
Task<void> keep_certificates(Context ctx, std::vector<std::string> files,
                             std::function<Status()> take);

// Which of them have changed since: sizes, times and inodes as one text.
std::string file_stamp(const std::vector<std::string>& files);

}  // namespace keles::machines
