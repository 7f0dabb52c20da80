"""
Backtests in a process of their own: whoever asks for other things is answered as if there were none.

    job       what is asked of the process, and within which bounds
    runner    starts it, waits for it, and kills it when nobody waits any more
    played    what the process does: reads the kept day, plays it, writes the answer
    __main__  the process itself, which imports no more than it needs: it is started for each backtest
"""
