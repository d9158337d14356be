from medvl.runtime.memory import keep_freed_memory


def test_asking_twice_gives_the_same_answer():
    assert keep_freed_memory() == keep_freed_memory()
