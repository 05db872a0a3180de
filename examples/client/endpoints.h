#pragma once

#include <sstream>
#include <string>
#include <vector>

// "a:1,b:2" as a list.
inline std::vector<std::string> SplitEndpoints(const std::string& text) {
  std::vector<std::string> endpoints;
  std::istringstream in(text);
  for (std::string endpoint; std::getline(in, endpoint, ',');) endpoints.push_back(endpoint);
  return endpoints;
}
