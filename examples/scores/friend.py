"""Scores beside the events in RDataFrame: `python friend.py events.root events.scores.root [score branch]`."""

import sys

import ROOT

events, scores, branch = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "score_signal"

chain = ROOT.TChain("Events")
chain.Add(events)
friend = ROOT.TChain("gridloom")
friend.Add(scores)
chain.AddFriend(friend, "gridloom")

frame = ROOT.RDataFrame(chain).Filter(f"gridloom.{branch} >= 0", "selected")
histogram = frame.Histo1D(("score", ";score;events", 20, 0, 1), f"gridloom.{branch}")
mean = frame.Filter(f"gridloom.{branch} > 0.5", "signal-like").Mean("MET_pt")

print(f"selected {int(histogram.GetEntries())}")
print(f"mean score {histogram.GetMean():.6f}")
print(f"mean MET of signal-like events {mean.GetValue():.4f}")
